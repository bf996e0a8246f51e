package rig

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// natsFaults strike the cluster, the connections to it, and the streams, as a mistake of an
// operator would.
func natsFaults() []Fault {
	return []Fault{
		{Name: "nats-node-killed", Class: ClassNATS, Needs: NeedNATS, About: "a node of the cluster is killed and comes back", Inject: nodeKilled},
		{
			Name: "nats-leader-killed", Class: ClassNATS, Needs: NeedNATS, About: "the node that leads the stream of commands is killed and comes back",
			Inject: leaderKilled,
		},
		{
			Name: "nats-partition", Class: ClassNATS, Needs: NeedNATS, About: "the node that leads the stream of commands is cut off from the other two",
			Inject: partitioned,
		},
		{Name: "nats-clients-cut-off", Class: ClassNATS, About: "no byte passes between any process and the cluster for a while", Inject: clientsCutOff},
		{Name: "nats-connections-reset", Class: ClassNATS, About: "all connections to the cluster are reset, again and again", Inject: clientsReset},
		{Name: "nats-restart", Class: ClassNATS, Needs: NeedNATS, About: "the whole cluster is stopped and started", Inject: clusterRestart},
		{
			Name: "stream-full", Class: ClassNATS, Needs: NeedNATS, About: "the streams of commands and of events are full for a while and refuse what comes",
			Inject: streamsFull,
		},
		{
			Name: "consumer-deleted", Class: ClassNATS, Needs: NeedNATS, Alone: true,
			About: "an operator deletes the workers' consumer and provisions anew: every command is delivered again", Inject: consumerDeleted,
		},
		{
			Name: "events-deleted", Class: ClassNATS, Needs: NeedNATS | NeedPostgres, Alone: true,
			About: "an operator deletes the stream of events, provisions anew and republishes from the event store", Inject: eventsDeleted,
		},
		{
			Name: "commands-deleted", Class: ClassNATS, Needs: NeedNATS, Alone: true,
			About: "an operator deletes the stream of commands and provisions anew; producers publish again what they sent", Inject: commandsDeleted,
		},
		{
			Name: "redelivered", Class: ClassNATS, Alone: true,
			About: "producers publish everything again when the stream has forgotten the message ids", Inject: redelivered,
		},
		{
			Name: "nats-restored", Class: ClassNATS, Needs: NeedNATS | NeedPostgres, Alone: true,
			About:  "the cluster is stopped and restored from a copy two minutes old; events are republished, and producers publish again what they sent",
			Inject: restored,
		},
	}
}

func nodeKilled(ctx context.Context, r *Rig, s *Stages) (string, error) {
	return killNode(ctx, r, s, r.random.IntN(r.cluster.Nodes()))
}

func leaderKilled(ctx context.Context, r *Rig, s *Stages) (string, error) {
	leader, err := leader(ctx, r)
	if err != nil {
		return "", err
	}
	return killNode(ctx, r, s, leader)
}

func killNode(ctx context.Context, r *Rig, s *Stages, i int) (string, error) {
	node, detail := r.cluster.Node(i), fmt.Sprintf("node %d", i+1)
	if err := node.Kill(); err != nil {
		return detail, err
	}
	s.last(ctx, 2*time.Second)
	return detail, errors.Join(node.Start(ctx), r.cluster.AwaitReady(ctx))
}

func leader(ctx context.Context, r *Rig) (int, error) {
	var found int
	err := poll(ctx, "find the leader of "+messages.StreamCommands, func() bool { // an election may be under way
		var err error
		found, err = r.cluster.Leader(ctx, messages.StreamCommands)
		return err == nil
	})
	return found, err
}

// partitioned stalls every route to and from the leader. Clients of the leader stay connected to
// it.
func partitioned(ctx context.Context, r *Rig, s *Stages) (string, error) {
	leader, err := leader(ctx, r)
	if err != nil {
		return "", err
	}
	const lasting = 6 * time.Second
	isolate(r, leader, true)
	s.last(ctx, lasting)
	isolate(r, leader, false)
	detail, err := rejoin(ctx, r, leader)
	return fmt.Sprintf("node %d for %s%s", leader+1, lasting, detail), err
}

func isolate(r *Rig, node int, on bool) {
	for _, way := range r.routes {
		if way.from == node || way.to == node {
			way.proxy.Stall(on)
			if !on {
				way.proxy.Cut() // bytes sent meanwhile must not arrive now
			}
		}
	}
}

// rejoinWait is the limit for a node to catch up by itself; most need half of it.
const rejoinWait = 12 * time.Second

// rejoin waits until a node that was cut off has caught up. A former leader may have entries in
// its raft log that no other node has. The server then repeats its catch-up ("Expected first
// catchup entry to be a snapshot and peerstate") until the leader compacts its log, which takes
// minutes; a restart changes nothing. rejoin gives such a node an empty store, as an operator
// would, and the node copies everything from the other two, which have decided without it. Where
// another node is not well either, the copy of the node may be needed, so rejoin only restarts it.
func rejoin(ctx context.Context, r *Rig, node int) (detail string, err error) {
	soon, cancel := context.WithTimeout(ctx, rejoinWait)
	defer cancel()
	late := r.cluster.AwaitReady(soon)
	if late == nil || ctx.Err() != nil {
		return "", late
	}
	n, detail, empty := r.cluster.Node(node), "; it did not catch up by itself and was restarted", func() error { return nil }
	if slices.Equal(r.cluster.Unwell(ctx), []int{node}) {
		detail, empty = "; it did not catch up by itself and was given an empty store", n.ClearStore
	}
	return detail, errors.Join(n.Stop(), empty(), n.Start(ctx), r.cluster.AwaitReady(ctx))
}

func clientsCutOff(ctx context.Context, r *Rig, s *Stages) (string, error) {
	const lasting = 3 * time.Second
	set := func(on bool) {
		for _, w := range r.ways() {
			for _, proxy := range w.nats {
				proxy.Stall(on)
			}
		}
	}
	set(true)
	s.last(ctx, lasting)
	set(false)
	return fmt.Sprintf("for %s", lasting), nil
}

func clientsReset(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	const times = 6
	for range times {
		eachNATS(r, (*faulty.Proxy).Cut)
		retry.Sleep(ctx, 400*time.Millisecond)
	}
	return fmt.Sprintf("%d times", times), nil
}

func clusterRestart(ctx context.Context, r *Rig, s *Stages) (string, error) {
	var errs []error
	for i := range r.cluster.Nodes() {
		errs = append(errs, r.cluster.Node(i).Stop())
	}
	s.last(ctx, time.Second)
	for i := range r.cluster.Nodes() {
		errs = append(errs, r.cluster.Node(i).Start(ctx))
	}
	errs = append(errs, r.cluster.AwaitReady(ctx))
	return "all nodes", errors.Join(errs...)
}

// streamsFull sets the limit of both streams to their present number of messages.
func streamsFull(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	const lasting = 3 * time.Second
	for _, name := range []string{messages.StreamCommands, messages.StreamEvents} {
		restore, err := fill(ctx, r, name)
		if err != nil {
			return name, err
		}
		retry.Sleep(ctx, lasting)
		if err := restore(ctx); err != nil {
			return name, err
		}
	}
	return fmt.Sprintf("each for %s", lasting), nil
}

func fill(ctx context.Context, r *Rig, name string) (restore func(context.Context) error, err error) {
	stream, err := r.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	info := stream.CachedInfo()
	full := info.Config
	full.MaxMsgs = max(1, int64(info.State.Msgs)) //nolint:gosec // far from overflowing
	if _, err := r.js.UpdateStream(ctx, full); err != nil {
		return nil, fmt.Errorf("limit %s: %w", name, err)
	}
	return func(ctx context.Context) error {
		return persist(ctx, "lift the limit of "+name, persistPause, func(ctx context.Context) error {
			_, err := r.js.UpdateStream(ctx, info.Config)
			return err
		})
	}, nil
}

// The pauses of an operator before the next try. Payments that republish leaves for later need a
// moment, and each run compares everything.
const (
	persistPause   = 300 * time.Millisecond
	republishPause = 2 * time.Second
)

func consumerDeleted(ctx context.Context, r *Rig, s *Stages) (string, error) {
	if err := r.js.DeleteConsumer(ctx, messages.StreamCommands, bus.ConsumerWorkers); err != nil {
		return "", fmt.Errorf("delete consumer: %w", err)
	}
	s.last(ctx, time.Second)
	return "", r.provision(ctx)
}

func eventsDeleted(ctx context.Context, r *Rig, s *Stages) (string, error) {
	if err := r.js.DeleteStream(ctx, messages.StreamEvents); err != nil {
		return "", fmt.Errorf("delete stream: %w", err)
	}
	s.last(ctx, time.Second)
	return "", errors.Join(r.provision(ctx), republish(ctx, r))
}

// republish puts every event that the stream lacks onto the bus again. It repeats for payments
// that a worker holds at the time.
func republish(ctx context.Context, r *Rig) error {
	return persist(ctx, "republish", republishPause, func(ctx context.Context) error { return r.tender(ctx, "outbox", "republish") })
}

func commandsDeleted(ctx context.Context, r *Rig, s *Stages) (string, error) {
	if err := hushed(ctx, r, func() error {
		if err := r.js.DeleteStream(ctx, messages.StreamCommands); err != nil {
			return fmt.Errorf("delete stream: %w", err)
		}
		s.last(ctx, time.Second)
		return r.provision(ctx)
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d commands published again", r.options.Producers.PublishAgain(ctx)), ctx.Err()
}

func redelivered(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	retry.Sleep(ctx, r.window+time.Second)
	return fmt.Sprintf("%d commands", r.options.Producers.PublishAgain(ctx)), ctx.Err()
}

// restored restores the copy that Open made, once the copy is old enough.
func restored(ctx context.Context, r *Rig, s *Stages) (string, error) {
	if err := poll(ctx, "wait until the copy of the cluster is old enough", func() bool {
		return r.now().Sub(r.copied) >= r.options.CopyAge
	}); err != nil {
		return "", err
	}
	age := r.now().Sub(r.copied).Round(time.Second)
	if err := hushed(ctx, r, func() error {
		s.strikes()
		if err := r.cluster.Restore(ctx, r.copyDir()); err != nil {
			return err
		}
		s.heals()
		return r.provision(ctx)
	}); err != nil {
		return "", err
	}
	if err := republish(ctx, r); err != nil {
		return "", err
	}
	return fmt.Sprintf("copy of %s ago; %d commands published again", age, r.options.Producers.PublishAgain(ctx)), ctx.Err()
}

// hushed loses the stream of commands while no gateway can deliver a notification. A gateway sends
// an acknowledged notification again only when an operator asks for it, which a simulator does not
// support. Notifications of the meantime are kept and brought later, because no webhook endpoint
// acknowledges them.
func hushed(ctx context.Context, r *Rig, lose func() error) (err error) {
	endpoints := r.playing(roleWebhook)
	for _, m := range endpoints {
		if err := m.Leave(); err != nil {
			return err
		}
	}
	handled(ctx, r)
	err = lose()
	for _, m := range endpoints {
		err = errors.Join(err, m.Start(), m.awaitReady(ctx))
	}
	return err
}

// handledWait bounds the wait of handled: a backlog of thousands may be before a notification.
const handledWait = 30 * time.Second

// handled waits for up to handledWait until every command that is now in the stream is
// acknowledged.
func handled(ctx context.Context, r *Rig) {
	ctx, cancel := context.WithTimeout(ctx, handledWait)
	defer cancel()
	var last uint64
	_ = poll(ctx, "wait until the commands are acknowledged", func() bool { // a command that takes longer does not matter
		stream, err := r.js.Stream(ctx, messages.StreamCommands)
		if err != nil {
			return false
		}
		if last == 0 {
			last = stream.CachedInfo().State.LastSeq
		}
		consumer, err := stream.Consumer(ctx, bus.ConsumerWorkers)
		return err == nil && consumer.CachedInfo().AckFloor.Stream >= last
	})
}

func eachNATS(r *Rig, do func(*faulty.Proxy)) {
	for _, w := range r.ways() {
		for _, proxy := range w.nats {
			do(proxy)
		}
	}
}
