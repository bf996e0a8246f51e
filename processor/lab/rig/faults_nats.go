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

// natsFaults strike the cluster, the ways to it, and the streams as an operator's mistake would.
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

func nodeKilled(ctx context.Context, l *Lab, s *Stages) (string, error) {
	return l.killNode(ctx, s, l.random.IntN(l.cluster.Nodes()))
}

func leaderKilled(ctx context.Context, l *Lab, s *Stages) (string, error) {
	leader, err := l.leader(ctx)
	if err != nil {
		return "", err
	}
	return l.killNode(ctx, s, leader)
}

func (l *Lab) killNode(ctx context.Context, s *Stages, i int) (string, error) {
	node, detail := l.cluster.Node(i), fmt.Sprintf("node %d", i+1)
	if err := node.Kill(); err != nil {
		return detail, err
	}
	s.last(ctx, 2*time.Second)
	return detail, errors.Join(node.Start(ctx), l.cluster.AwaitReady(ctx))
}

func (l *Lab) leader(ctx context.Context) (int, error) {
	leader, err := l.cluster.Leader(ctx, messages.StreamCommands)
	if err != nil {
		return 0, fmt.Errorf("find the leader of %s: %w", messages.StreamCommands, err)
	}
	return leader, nil
}

// partitioned stalls every route to and from the leader. Clients that are connected to it stay with it.
func partitioned(ctx context.Context, l *Lab, s *Stages) (string, error) {
	leader, err := l.leader(ctx)
	if err != nil {
		return "", err
	}
	const lasting = 6 * time.Second
	l.isolate(leader, true)
	s.last(ctx, lasting)
	l.isolate(leader, false)
	detail, err := l.rejoin(ctx, leader)
	return fmt.Sprintf("node %d for %s%s", leader+1, lasting, detail), err
}

// rejoinWait is how long a node may take to catch up by itself; most take half of it.
const rejoinWait = 12 * time.Second

// rejoin waits until a node that was cut off has caught up. Some that led before have entries in their raft log that nobody else
// has, and the server goes round in circles with those ("Expected first catchup entry to be a snapshot and peerstate") until the
// leader compacts its log, which takes minutes; a restart changes nothing. Such a node is given an empty store, as an operator
// would do, and gets everything from the other two, who have been deciding without it. Where another node is not well either, its
// copy may be needed, and it is only restarted.
func (l *Lab) rejoin(ctx context.Context, node int) (detail string, err error) {
	soon, cancel := context.WithTimeout(ctx, rejoinWait)
	defer cancel()
	late := l.cluster.AwaitReady(soon)
	if late == nil || ctx.Err() != nil {
		return "", late
	}
	n, detail, empty := l.cluster.Node(node), "; it did not catch up by itself and was restarted", func() error { return nil }
	if slices.Equal(l.cluster.Unwell(ctx), []int{node}) {
		detail, empty = "; it did not catch up by itself and was given an empty store", n.ClearStore
	}
	return detail, errors.Join(n.Stop(), empty(), n.Start(ctx), l.cluster.AwaitReady(ctx))
}

func (l *Lab) isolate(node int, on bool) {
	for _, r := range l.routeProxies() {
		if r.from == node || r.to == node {
			r.proxy.Stall(on)
			if !on {
				r.proxy.Cut() // what was sent into the void is not to arrive now
			}
		}
	}
}

func clientsCutOff(ctx context.Context, l *Lab, s *Stages) (string, error) {
	const lasting = 3 * time.Second
	set := func(on bool) {
		for _, w := range l.ways() {
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

func clientsReset(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	const times = 6
	for range times {
		l.eachNATS((*faulty.Proxy).Cut)
		retry.Sleep(ctx, 400*time.Millisecond)
	}
	return fmt.Sprintf("%d times", times), nil
}

func (l *Lab) eachNATS(do func(*faulty.Proxy)) {
	for _, w := range l.ways() {
		for _, proxy := range w.nats {
			do(proxy)
		}
	}
}

func clusterRestart(ctx context.Context, l *Lab, s *Stages) (string, error) {
	var errs []error
	for i := range l.cluster.Nodes() {
		errs = append(errs, l.cluster.Node(i).Stop())
	}
	s.last(ctx, time.Second)
	for i := range l.cluster.Nodes() {
		errs = append(errs, l.cluster.Node(i).Start(ctx))
	}
	errs = append(errs, l.cluster.AwaitReady(ctx))
	return "all nodes", errors.Join(errs...)
}

// streamsFull sets the limit of both streams to what they hold.
func streamsFull(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	const lasting = 3 * time.Second
	for _, name := range []string{messages.StreamCommands, messages.StreamEvents} {
		restore, err := l.fill(ctx, name)
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

func (l *Lab) fill(ctx context.Context, name string) (restore func(context.Context) error, err error) {
	stream, err := l.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	info := stream.CachedInfo()
	full := info.Config
	full.MaxMsgs = max(1, int64(info.State.Msgs)) //nolint:gosec // far from overflowing
	if _, err := l.js.UpdateStream(ctx, full); err != nil {
		return nil, fmt.Errorf("limit %s: %w", name, err)
	}
	return func(ctx context.Context) error {
		return l.persist(ctx, "lift the limit of "+name, persistPause, func(ctx context.Context) error {
			_, err := l.js.UpdateStream(ctx, info.Config)
			return err
		})
	}, nil
}

// How long an operator waits before the next try. What republish has left for later takes a moment to be ripe, and it compares
// everything each time.
const (
	persistPause   = 300 * time.Millisecond
	republishPause = 2 * time.Second
)

// persist repeats what an operator would repeat until it works.
func (l *Lab) persist(ctx context.Context, what string, every time.Duration, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if retry.Sleep(ctx, every); ctx.Err() != nil {
			return fmt.Errorf("%s: %w (last: %w)", what, context.Cause(ctx), err)
		}
	}
}

func consumerDeleted(ctx context.Context, l *Lab, s *Stages) (string, error) {
	if err := l.js.DeleteConsumer(ctx, messages.StreamCommands, bus.ConsumerWorkers); err != nil {
		return "", fmt.Errorf("delete consumer: %w", err)
	}
	s.last(ctx, time.Second)
	return "", l.provision(ctx)
}

func eventsDeleted(ctx context.Context, l *Lab, s *Stages) (string, error) {
	if err := l.js.DeleteStream(ctx, messages.StreamEvents); err != nil {
		return "", fmt.Errorf("delete stream: %w", err)
	}
	s.last(ctx, time.Second)
	return "", errors.Join(l.provision(ctx), l.republish(ctx))
}

func commandsDeleted(ctx context.Context, l *Lab, s *Stages) (string, error) {
	if err := l.hushed(ctx, func() error {
		if err := l.js.DeleteStream(ctx, messages.StreamCommands); err != nil {
			return fmt.Errorf("delete stream: %w", err)
		}
		s.last(ctx, time.Second)
		return l.provision(ctx)
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d commands published again", l.options.Producers.PublishAgain(ctx)), ctx.Err()
}

func redelivered(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	retry.Sleep(ctx, l.window+time.Second)
	return fmt.Sprintf("%d commands", l.options.Producers.PublishAgain(ctx)), ctx.Err()
}

// restored brings back the copy that was made when the lab was opened, once that is old enough.
func restored(ctx context.Context, l *Lab, s *Stages) (string, error) {
	if err := poll(ctx, "wait until the copy of the cluster is old enough", func() bool {
		return l.now().Sub(l.copied) >= l.options.CopyAge
	}); err != nil {
		return "", err
	}
	age := l.now().Sub(l.copied).Round(time.Second)
	if err := l.hushed(ctx, func() error {
		s.strikes()
		if err := l.cluster.Restore(ctx, l.copyDir()); err != nil {
			return err
		}
		s.heals()
		return l.provision(ctx)
	}); err != nil {
		return "", err
	}
	if err := l.republish(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("copy of %s ago; %d commands published again", age, l.options.Producers.PublishAgain(ctx)), ctx.Err()
}

// hushed loses the stream of commands while no gateway tells anything: a notification that was taken is not told again unless somebody
// asks the gateway to, as whoever has lost the stream must, and the simulators can't be asked. What they have to tell meanwhile they try
// again, as nobody takes it.
func (l *Lab) hushed(ctx context.Context, lose func() error) (err error) {
	endpoints := l.playing(roleWebhook)
	for _, m := range endpoints {
		if err := m.Leave(); err != nil {
			return err
		}
	}
	l.handled(ctx)
	err = lose()
	for _, m := range endpoints {
		err = errors.Join(err, m.Start(), m.awaitReady(ctx))
	}
	return err
}

// handledWait bounds how long handled waits.
const handledWait = 5 * time.Second

// handled waits for a moment until every command that is in the stream now has been settled.
func (l *Lab) handled(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handledWait)
	defer cancel()
	var last uint64
	_ = poll(ctx, "wait until the commands are settled", func() bool { // one that takes longer is not waited for
		stream, err := l.js.Stream(ctx, messages.StreamCommands)
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

// republish puts every event that the stream lacks onto the bus again. What it leaves for later, since its payment is being
// worked on, it takes up the next time.
func (l *Lab) republish(ctx context.Context) error {
	return l.persist(ctx, "republish", republishPause, func(ctx context.Context) error { return l.tender(ctx, "outbox", "republish") })
}

func (l *Lab) provision(ctx context.Context) error {
	return l.persist(ctx, "provision", persistPause, func(ctx context.Context) error { return l.tender(ctx, "provision") })
}
