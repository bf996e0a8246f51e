package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

const (
	// pollAwake is the rest of a lane that had rows a moment ago.
	pollAwake = 5 * time.Millisecond
	// A lane that read nothing drowsyAfter times in a row asks to be notified; after asleepAfter times it relies on it.
	// The reads between the two catch writers who did not see the request yet.
	drowsyAfter = 50
	asleepAfter = 60
)

// lane relays some of the partitions, one batch after the other: what it published is deleted in the same round trip
// that reads what comes next. Only its own goroutine runs it; own and signal may be called from another.
type lane struct {
	relay             *Relay
	postgres, jstream outage
	wake              chan struct{} // capacity 1

	mu         sync.Mutex
	partitions []int16 // guarded by mu; only grows

	lastRead  int  // how many rows the last exchange read
	asleep    bool // what outbox_partition.asleep was last set to,
	asleepFor int  // for that many of the partitions
}

func newLane(r *Relay, number int) *lane {
	return &lane{
		relay:    r,
		postgres: outage{log: r.log, what: fmt.Sprintf("outbox lane %d: reading", number)},
		jstream:  outage{log: r.log, what: fmt.Sprintf("outbox lane %d: publishing", number)},
		wake:     make(chan struct{}, 1),
	}
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // already signalled
	}
}

func (l *lane) own(partitions []int16) {
	l.mu.Lock()
	l.partitions = append(l.partitions, partitions...)
	l.mu.Unlock()
	l.signal()
}

// run relays until serving is done, or the NATS connection is closed for good, which it returns. What was published by
// then is deleted before it returns, if PostgreSQL answers within finishTimeout of work being done.
func (l *lane) run(serving, work context.Context) error {
	retry := l.relay.newBackOff()
	var done outcome // of the last batch, not yet recorded
	var closed error
	empty := 0 // reads in a row that found nothing
	for serving.Err() == nil && closed == nil {
		partitions := l.owned()
		if len(partitions) == 0 {
			rest(serving, l.wake, l.relay.cfg.PollInterval)
			continue
		}
		limit := (l.relay.cfg.BatchMax + len(partitions) - 1) / len(partitions)
		rows, err := l.exchange(work, done, reading{partitions: partitions, limit: limit, drowsy: empty >= drowsyAfter})
		if err != nil {
			l.failed(serving, &l.postgres, err)
			rest(serving, nil, retry.NextBackOff())
			continue
		}
		l.postgres.over()

		done, err = l.relay.publish(work, rows)
		if !done.empty() || err == nil {
			retry.Reset() // if any rows have to wait, it is not all of them
		}
		switch {
		case errors.Is(err, nats.ErrConnectionClosed):
			closed = err
		case err != nil:
			l.failed(serving, &l.jstream, err)
			rest(serving, nil, retry.NextBackOff())
		case len(rows) == 0:
			empty++
			rest(serving, l.wake, l.pause(empty))
		default:
			empty = 0
			l.jstream.over()
			if len(rows) < limit {
				rest(serving, l.wake, l.pause(empty))
			}
		}
	}
	if err := l.finish(work, done); err != nil {
		l.relay.log.Warn("outbox: published rows not deleted, they will be published again", zap.Error(err))
	}
	return closed
}

// failed notes a failure, unless it is that of work given up at the end.
func (l *lane) failed(serving context.Context, o *outage, err error) {
	if serving.Err() == nil {
		o.failed(err)
	}
}

// pause is how long to rest after a number of empty reads.
func (l *lane) pause(empty int) time.Duration {
	if empty < asleepAfter {
		return min(pollAwake, l.relay.cfg.PollInterval)
	}
	return l.relay.cfg.PollInterval
}

func (l *lane) owned() []int16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.partitions)
}
