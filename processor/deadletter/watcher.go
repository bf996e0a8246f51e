package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// The reasons of letters about commands that no worker was given. Such a letter stands for a
// stretch of the stream of commands, which begins at its StreamSequence; its detail says where the
// stretch ends.
const (
	// ReasonAgedOut is that of commands which left the stream before they were delivered.
	ReasonAgedOut = "aged_out"
	// ReasonSkipped is that of commands which a consumer that was made after them passed over.
	ReasonSkipped = "skipped"
)

// watchInterval is the time between two looks by default.
const watchInterval = 5 * time.Second

// WatcherConfig tunes a Watcher. The zero value of a field means its default.
type WatcherConfig struct {
	// Interval is the time between two looks; default 5 s.
	Interval time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Losses counts the commands that a Watcher found lost. They only rise.
type Losses struct {
	// AgedOut counts those that left the stream undelivered, Skipped those that a consumer passed
	// over and that may have been handled by the one before it.
	AgedOut, Skipped int64
}

// Watcher looks for commands that the workers' consumer will never deliver, and that the server
// says nothing about: those that left the stream undelivered, by age or by a person's hand, and
// those that came before a consumer which was made anew with another delivery policy than all.
// Each stretch makes one line in the log, at level error, and one dead letter. Any number of
// watchers may run.
//
// A command that was delivered, and left the stream before it was settled, is not among them: the
// server terminates it, and the [Collector] makes its letter. What is lost and overtaken within one
// interval, while workers fetch, is not seen: `tender verify --bus` finds it as long as the stream
// holds it.
type Watcher struct {
	js  jetstream.JetStream
	cfg WatcherConfig
	log *zap.Logger

	agedOut, skipped atomic.Int64
	// told is the end of the latest stretch that this watcher found aged out, and made the time of
	// making of the consumer that it found to skip.
	told uint64
	made time.Time
}

// NewWatcher returns a watcher that has not looked.
func NewWatcher(js jetstream.JetStream, cfg WatcherConfig, log *zap.Logger) *Watcher {
	cfg.Interval = cmp.Or(cfg.Interval, watchInterval)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Watcher{js: js, cfg: cfg, log: log}
}

// Losses returns what was found so far. It may be called at any time.
func (w *Watcher) Losses() Losses {
	return Losses{AgedOut: w.agedOut.Load(), Skipped: w.skipped.Load()}
}

// Run looks until ctx is done; it always returns nil. NATS may be away at any time.
func (w *Watcher) Run(ctx context.Context) error {
	outage := retry.Outage{Log: w.log, Failing: "cannot look for lost commands; retrying", Over: "looking for lost commands again"}
	for ctx.Err() == nil {
		outage.Note(ctx, w.Look(ctx))
		retry.Sleep(ctx, w.cfg.Interval)
	}
	return nil
}

// firstLookMax bounds how long LookFirst keeps workers from beginning.
const firstLookMax = 5 * time.Second

// LookFirst is Look for a process that starts its workers right after it. A failure is logged: it
// does not keep the workers from their work.
func (w *Watcher) LookFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstLookMax)
	defer cancel()
	if err := w.Look(ctx); err != nil {
		w.log.Warn("cannot tell whether commands were lost while no worker ran", zap.Error(err))
	}
}

// Look looks once. Call it before workers begin to fetch: what was lost while none ran shows until
// they have passed it. It is not to be called while Run runs.
func (w *Watcher) Look(ctx context.Context) error {
	consumer, err := w.js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		return fmt.Errorf("look at consumer %s of stream %s: %w", bus.ConsumerWorkers, messages.StreamCommands, err)
	}
	// The consumer first: what it has not been given by now, and the stream does not hold after
	// that, it was never given.
	info := consumer.CachedInfo()
	stream, err := w.js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", messages.StreamCommands, err)
	}
	state := stream.CachedInfo().State
	return errors.Join(w.lookForAged(ctx, info, state), w.lookForSkipped(ctx, info, state))
}

func (w *Watcher) lookForAged(ctx context.Context, info *jetstream.ConsumerInfo, state jetstream.StreamState) error {
	if state.LastSeq < w.told {
		w.told = 0 // The stream was lost, and counts anew.
	}
	from := max(info.Delivered.Stream, info.AckFloor.Stream, w.told) + 1
	if state.FirstSeq <= from {
		return nil
	}
	to := state.FirstSeq - 1
	detail := fmt.Sprintf("commands %d to %d left the stream before any worker was given them; all up to %d were settled",
		from, to, info.AckFloor.Stream)
	stored, err := w.tell(ctx, Original{Stream: messages.StreamCommands, Sequence: from}, ReasonAgedOut, detail)
	if err != nil {
		return err
	}
	w.told = to
	if stored {
		w.agedOut.Add(int64(to - from + 1)) //nolint:gosec // G115: a count of messages
	}
	return nil
}

func (w *Watcher) lookForSkipped(ctx context.Context, info *jetstream.ConsumerInfo, state jetstream.StreamState) error {
	policy := info.Config.DeliverPolicy
	if policy == jetstream.DeliverAllPolicy || info.Created.Equal(w.made) {
		return nil
	}
	to, err := w.lastBefore(ctx, info, state)
	if err != nil {
		return err
	}
	if to >= state.FirstSeq && state.Msgs > 0 {
		detail := fmt.Sprintf("consumer %s was made at %s with delivery policy %s: it passes over commands %d to %d;"+
			" tender verify --bus says which of them were not handled",
			bus.ConsumerWorkers, info.Created.UTC().Format(time.RFC3339Nano), policy, state.FirstSeq, to)
		stored, err := w.tell(ctx, Original{Stream: messages.StreamCommands, Sequence: state.FirstSeq}, ReasonSkipped, detail)
		if err != nil {
			return err
		}
		if stored {
			w.skipped.Add(int64(to - state.FirstSeq + 1)) //nolint:gosec // G115: a count of messages
		}
	}
	w.made = info.Created
	return nil
}

// lastBefore returns the last sequence that the consumer passes over, 0 if there is none.
func (w *Watcher) lastBefore(ctx context.Context, info *jetstream.ConsumerInfo, state jetstream.StreamState) (uint64, error) {
	if start := info.Config.OptStartSeq; start > 0 {
		return start - 1, nil
	}
	began := info.Created
	if info.Config.OptStartTime != nil {
		began = *info.Config.OptStartTime
	}
	last := uint64(0)
	from := bus.ScanFrom{Stream: messages.StreamCommands, Sequence: state.FirstSeq}
	err := bus.Scan(ctx, w.js, from, func(msg *jetstream.RawStreamMsg) bool {
		if !msg.Time.Before(began) {
			return false
		}
		last = msg.Sequence
		return true
	})
	if err != nil {
		return 0, fmt.Errorf("look for skipped commands: %w", err)
	}
	return last, nil
}

// tell logs a stretch and stores its letter, unless another watcher did, or this process before it
// was restarted; then it returns false.
func (w *Watcher) tell(ctx context.Context, first Original, reason, detail string) (bool, error) {
	l := Of(first, Cause{Reason: reason, Detail: detail, At: w.cfg.Now()})
	known := false
	err := List(ctx, w.js, Filter{Reason: reason}, func(other Letter) bool {
		known = other.StreamSequence == l.StreamSequence && other.Detail == l.Detail
		return !known
	})
	if err != nil || known {
		return false, err
	}
	if err := Publish(ctx, w.js, l); err != nil {
		return false, err
	}
	w.log.Error("commands are lost: no worker was given them", zap.String("reason", reason), zap.String("detail", detail))
	return true, nil
}
