package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

const (
	// pollAwake is how long a lane rests between two looks at the table that had rows of other
	// processes a moment ago.
	pollAwake = 5 * time.Millisecond
	// pollAlone is the same for one that had none in its last aloneAfter looks: what it was offered
	// needs no look, and is deleted by the dozen.
	pollAlone  = 25 * time.Millisecond
	aloneAfter = 10
	// pollSlow is the same after a look that took longer than slowLook: there are many rows that
	// were deleted and that a vacuum has not come to, or the lane is that busy.
	pollSlow = 250 * time.Millisecond
	slowLook = 10 * time.Millisecond
	// A lane that had no rows at all in drowsyAfter looks in a row asks to be notified; after
	// asleepAfter looks it relies on it. The looks between the two catch writers who did not see
	// the request yet.
	drowsyAfter = 50
	asleepAfter = 60
)

// lane relays some of the partitions, one batch after the other. It publishes offered rows as they
// come, and looks at the table now and then: one round trip deletes the rows it published and reads
// those that were not offered. Only its own goroutine runs it; own, owns, offer and signal may be
// called from another.
type lane struct {
	relay             *Relay
	lease             *lease // of the owner
	postgres, jstream outage
	wake              chan struct{} // capacity 1
	shelf             shelf
	look              atomic.Bool // the table is to be looked at now

	mu         sync.Mutex
	partitions []int16 // guarded by mu; only grows

	done      outcome     // not yet recorded in the table
	alarm     *time.Timer // goes off when it is time to look at the table again
	offered   int         // rows published since then that were not read
	alone     int         // looks in a row with such rows in between, and without rows that were not offered
	quiet     int         // looks in a row without any rows, offered or read, since the one before
	lastRead  int         // rows that the last exchange read
	asleep    bool        // what outbox_partition.asleep was last set to,
	asleepFor int         // for that many of the partitions
}

func newLane(r *Relay, owned *lease, number int) *lane {
	return &lane{
		relay:    r,
		lease:    owned,
		postgres: outage{log: r.log, what: fmt.Sprintf("outbox lane %d: reading", number)},
		jstream:  outage{log: r.log, what: fmt.Sprintf("outbox lane %d: publishing", number)},
		wake:     make(chan struct{}, 1),
		alarm:    time.NewTimer(0),
	}
}

// signal makes the lane look at the table.
func (l *lane) signal() {
	l.look.Store(true)
	l.nudge()
}

// nudge makes the lane look at its shelf.
func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // already nudged
	}
}

func (l *lane) own(partitions []int16) {
	l.mu.Lock()
	l.partitions = append(l.partitions, partitions...)
	l.mu.Unlock()
	l.signal()
}

func (l *lane) owns(partition int16) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.partitions, partition)
}

// run relays until serving is done, or the NATS connection is closed for good, which it returns.
// The rows published by then are deleted before it returns, if PostgreSQL answers within
// finishTimeout of work being done.
func (l *lane) run(serving, work context.Context) error {
	retry := l.relay.newBackOff()
	var closed error
	for serving.Err() == nil && closed == nil {
		partitions := l.owned()
		if len(partitions) == 0 {
			rest(serving, l.wake, l.relay.cfg.PollInterval)
			continue
		}
		rows, err := l.gather(work, partitions)
		if err != nil {
			l.failed(serving, &l.postgres, err)
			rest(serving, nil, retry.NextBackOff())
			continue
		}
		if len(rows) == 0 {
			if !l.due() {
				l.await(serving)
			}
			continue
		}
		done, err := l.relay.publish(work, l.lease, rows)
		l.note(rows, done)
		if !done.empty() || err == nil {
			retry.Reset() // if any rows have to wait, it is not all of them
		}
		switch {
		case errors.Is(err, nats.ErrConnectionClosed):
			closed = err
		case err != nil:
			l.failed(serving, &l.jstream, err)
			rest(serving, nil, retry.NextBackOff())
		default:
			l.jstream.over()
		}
	}
	if err := l.finish(work, l.done); err != nil {
		l.relay.log.Warn("outbox: published rows not deleted, they will be published again", zap.Error(err))
	}
	return closed
}

// gather returns the rows to publish next: those that were offered and, if it is time, those in the
// table.
func (l *lane) gather(ctx context.Context, partitions []int16) ([]row, error) {
	var found []row
	var err error
	switch {
	case l.due():
		found, err = l.lookUp(ctx, partitions)
	case len(l.done.refused) > 0 || len(l.done.published) >= l.relay.cfg.BatchMax:
		err = l.record(ctx, &found, reading{})
	}
	if err != nil {
		return nil, err
	}
	rows, offered := l.shelf.take(found, l.relay.cfg.BatchMax)
	l.offered += offered
	l.relay.counters.offered.Add(int64(offered))
	if len(rows) > 0 {
		slept := l.quiet >= asleepAfter
		l.quiet = 0
		if slept {
			l.alarm.Reset(l.pause())
		}
	}
	return rows, nil
}

// due reports whether it is time to look at the table.
func (l *lane) due() bool {
	select {
	case <-l.alarm.C:
		l.look.Store(true)
	default:
	}
	return l.look.Load()
}

// await returns when it is time to look at the table, or at the shelf, or ctx is done.
func (l *lane) await(ctx context.Context) {
	select {
	case <-l.alarm.C:
		l.look.Store(true)
	case <-l.wake:
	case <-ctx.Done():
	}
}

// lookUp reads the rows from the table that are not on the shelf.
func (l *lane) lookUp(ctx context.Context, partitions []int16) (found []row, err error) {
	l.look.Store(false) // before the look: a request from now on wants another
	defer func() {
		if err != nil {
			l.look.Store(true)
		}
	}()
	limit := (l.relay.cfg.BatchMax + len(partitions) - 1) / len(partitions)
	next := reading{partitions: partitions, limit: limit, idsOnly: l.isAlone(), drowsy: l.quiet >= drowsyAfter}
	slow := time.NewTimer(slowLook)
	defer slow.Stop()
	if err := l.record(ctx, &found, next); err != nil {
		return nil, err
	}
	full := len(found) >= limit
	if next.idsOnly && len(found) > 0 {
		if found = l.shelf.missing(found); len(found) > 0 {
			if found, err = l.fetch(ctx, found); err != nil {
				return nil, err
			}
		}
		full = full && len(found) > 0
	}
	l.quiet++ // unless there are rows on the shelf
	switch unoffered := l.shelf.unofferedRows(); {
	case unoffered > 0:
		l.alone = 0
	case l.offered > 0:
		l.alone++
	}
	l.offered = 0
	pause := l.pause()
	select {
	case <-slow.C:
		if l.isAlone() {
			pause = max(pause, min(pollSlow, l.relay.cfg.PollInterval))
		}
	default:
	}
	if full {
		l.look.Store(true)
	}
	l.alarm.Reset(pause)
	return found, nil
}

// record notes the outcome of rows in the table, and reads on.
func (l *lane) record(ctx context.Context, found *[]row, next reading) (err error) {
	if *found, err = l.exchange(ctx, l.done, next); err != nil {
		return err
	}
	l.postgres.over()
	l.done = outcome{}
	return nil
}

// isAlone reports whether everything comes from the lane's own process.
func (l *lane) isAlone() bool { return l.alone >= aloneAfter }

// note takes down the outcome of rows. A row that was not published is left to the table, with the
// rows after it in its key.
func (l *lane) note(rows []row, done outcome) {
	l.done.published = append(l.done.published, done.published...)
	l.done.refused = append(l.done.refused, done.refused...)
	if len(done.published)+len(done.refused) < len(rows) {
		l.shelf.clear()
		l.look.Store(true)
	}
	for _, refused := range done.refused {
		l.shelf.bar(refused.row.OrderingKey)
	}
}

// failed notes a failure, unless it is that of work given up at the end.
func (l *lane) failed(serving context.Context, o *outage, err error) {
	if serving.Err() == nil {
		o.failed(err)
	}
}

// pause is how long to rest between two looks at the table.
func (l *lane) pause() time.Duration {
	switch {
	case l.quiet >= asleepAfter:
		return l.relay.cfg.PollInterval
	case l.isAlone():
		return min(pollAlone, l.relay.cfg.PollInterval)
	default:
		return min(pollAwake, l.relay.cfg.PollInterval)
	}
}

func (l *lane) owned() []int16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.partitions)
}
