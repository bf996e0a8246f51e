package rig

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

// streamFaults let the bus lose commands that it acknowledged, before a worker reads them. They
// happen while no worker runs, so that there are such commands.
func streamFaults() []Fault {
	return []Fault{
		{
			Name: "commands-aged-out", Class: ClassNATS, Needs: NeedNATS, Alone: true,
			About: "all workers are away and the stream of commands keeps nothing for longer than seconds: what ages out must be reported", Inject: agedOut,
		},
		{
			Name: "nats-disk-damaged", Class: ClassNATS, Needs: NeedNATS, Alone: true,
			About: "bits flip in the files of one node's stream of commands, which end early, while it is down; then it comes to lead", Inject: diskDamaged,
		},
	}
}

// backlogMin is the number of commands that no worker has read, from which such a fault begins.
const backlogMin = 30

// withoutWorkers does something while no worker runs and a backlog of commands waits, and while no
// gateway can deliver a notification; see hushed. Then all come back.
func withoutWorkers(ctx context.Context, r *Rig, do func() error) error {
	return hushed(ctx, r, func() error {
		errs := []error{r.drifter.leave()}
		r.drifter = nil
		workers := r.playing(roleWorker)
		for _, m := range workers {
			errs = append(errs, m.Leave())
		}
		if errors.Join(errs...) == nil {
			errs = append(errs, awaitBacklog(ctx, r), do())
		}
		for _, m := range workers {
			errs = append(errs, m.Start(), m.awaitReady(ctx))
		}
		return errors.Join(append(errs, startDrifter(ctx, r))...)
	})
}

func awaitBacklog(ctx context.Context, r *Rig) error {
	return poll(ctx, "wait for a backlog of commands", func() bool {
		consumer, err := r.js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
		return err == nil && consumer.CachedInfo().NumPending >= backlogMin
	})
}

// agedOut shortens the life of commands until the backlog has begun to age out.
func agedOut(ctx context.Context, r *Rig, s *Stages) (string, error) {
	var gone uint64
	err := withoutWorkers(ctx, r, func() error {
		stream, err := r.js.Stream(ctx, messages.StreamCommands)
		if err != nil {
			return fmt.Errorf("open %s: %w", messages.StreamCommands, err)
		}
		usual := stream.CachedInfo().Config
		short := usual
		short.MaxAge = r.window + time.Second // it may not be shorter than the window of duplicates
		if _, err := r.js.UpdateStream(ctx, short); err != nil {
			return fmt.Errorf("shorten the life of commands: %w", err)
		}
		s.strikes()
		err = poll(ctx, "wait until commands age out", func() bool {
			gone = agedBeyond(ctx, r)
			return gone > backlogMin/2
		})
		lifted := persist(ctx, "lengthen the life of commands", persistPause, func(ctx context.Context) error {
			_, err := r.js.UpdateStream(ctx, usual)
			return err
		})
		s.heals()
		return errors.Join(err, lifted)
	})
	return fmt.Sprintf("at least %d commands", gone), err
}

// agedBeyond counts the commands that left the stream before the workers' consumer delivered them.
func agedBeyond(ctx context.Context, r *Rig) uint64 {
	stream, err := r.js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return 0
	}
	consumer, err := stream.Consumer(ctx, bus.ConsumerWorkers)
	if err != nil {
		return 0
	}
	first, delivered := stream.CachedInfo().State.FirstSeq, consumer.CachedInfo().Delivered.Stream
	if first <= delivered+1 {
		return 0
	}
	return first - delivered - 1
}

// The damage to the files of one node.
const (
	bitsFlipped  = 3
	bytesMissing = 700
	// leadTries is the number of elections in which the damaged node may come to lead.
	leadTries = 6
)

// diskDamaged damages the store of a node that follows, and lets it come to lead.
func diskDamaged(ctx context.Context, r *Rig, s *Stages) (string, error) {
	detail := ""
	err := withoutWorkers(ctx, r, func() error {
		lead, err := leader(ctx, r)
		if err != nil {
			return err
		}
		victim := (lead + 1 + r.random.IntN(r.cluster.Nodes()-1)) % r.cluster.Nodes()
		node := r.cluster.Node(victim)
		if err := node.Kill(); err != nil {
			return err
		}
		files, err := damage(r, filepath.Join(filepath.Dir(node.Log()), "store"))
		s.strikes()
		if err = errors.Join(err, node.Start(ctx)); err != nil {
			return err
		}
		detail = fmt.Sprintf("%d files of node %d", files, victim+1)
		more, err := rejoin(ctx, r, victim)
		detail += more
		if err != nil {
			return err
		}
		led := makeLeader(ctx, r, victim)
		detail += map[bool]string{true: ", which then led", false: ", which did not come to lead"}[led]
		s.heals()
		return r.cluster.AwaitReady(ctx)
	})
	return detail, err
}

// damage flips bits in the files of the stream of commands and shortens them. It returns the number
// of files.
func damage(r *Rig, store string) (int, error) {
	files, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", messages.StreamCommands, "msgs", "*.blk"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("there are no files of %s in %s: %w", messages.StreamCommands, store, err)
	}
	var errs []error
	for _, file := range files {
		errs = append(errs, faulty.FlipBits(file, bitsFlipped, r.random.IntN), faulty.Shorten(file, bytesMissing))
	}
	return len(files), errors.Join(errs...)
}

// makeLeader asks leaders of the stream of commands to step down until a node leads.
func makeLeader(ctx context.Context, r *Rig, node int) bool {
	for range leadTries {
		if lead, err := leader(ctx, r); err != nil || lead == node {
			return err == nil
		}
		if _, err := r.nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+messages.StreamCommands, nil); err != nil {
			return false
		}
		_ = poll(ctx, "wait for a leader", func() bool {
			_, err := r.js.Stream(ctx, messages.StreamCommands)
			return err == nil
		})
	}
	return false
}
