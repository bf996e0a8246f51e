package status

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// reportsPending is the number of reports that may wait for a Listener before some are dropped.
const reportsPending = 65_536

// quiet is the time without a report after which Collect takes it that every instance has
// answered.
const quiet = 400 * time.Millisecond

// answerTimeout bounds how long the server may take to confirm a subscription.
const answerTimeout = 10 * time.Second

// Listener hears the reports of every instance. It is used by one goroutine at a time. Close it
// when it is no longer used.
type Listener struct {
	nc  *nats.Conn
	sub *nats.Subscription
}

// Listen begins to hear reports: those made after it has returned. It fails when the server does
// not answer within ten seconds.
func Listen(ctx context.Context, nc *nats.Conn) (*Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	sub, err := nc.SubscribeSync(SubjectReports)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", SubjectReports, err)
	}
	l := &Listener{nc: nc, sub: sub}
	if err := errors.Join(sub.SetPendingLimits(reportsPending, -1), nc.FlushWithContext(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", SubjectReports, err), l.Close())
	}
	return l, nil
}

// Ask makes every instance report at once.
func (l *Listener) Ask() error {
	if err := l.nc.Publish(SubjectRequest, nil); err != nil {
		return fmt.Errorf("ask on %s: %w", SubjectRequest, err)
	}
	return nil
}

// Next waits for the next report. It fails with the context's error when ctx ends first, and when
// the connection does. Other messages are passed over.
func (l *Listener) Next(ctx context.Context) (Report, error) {
	for {
		msg, err := l.sub.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			continue // Some were dropped; later ones are newer anyway.
		}
		if err != nil {
			return Report{}, fmt.Errorf("hear %s: %w", SubjectReports, err)
		}
		if r, err := decode(msg.Subject, msg.Data); err == nil {
			return r, nil
		}
	}
}

// Close ends the listening.
func (l *Listener) Close() error {
	if err := l.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("stop listening on %s: %w", SubjectReports, err)
	}
	return nil
}

// Collect asks all instances and returns their answers, one report for each gateway of each,
// sorted by gateway and instance. Their number is not known: it waits for the first answer until
// the deadline of ctx, which it must have, and then until there has been none for a moment. No
// answer at all is no error.
func Collect(ctx context.Context, nc *nats.Conn) (reports []Report, err error) {
	l, err := Listen(ctx, nc)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Ask(); err != nil {
		return nil, err
	}
	var b Board
	var heard time.Time // the same for all: nothing grows old here
	r, err := l.Next(ctx)
	for err == nil {
		b.Put(r, heard)
		r, err = l.nextWithin(ctx, quiet)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return b.Reports(heard), nil
}

func (l *Listener) nextWithin(ctx context.Context, d time.Duration) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return l.Next(ctx)
}

// staleAfter is the silence after which an instance is taken to have gone: it has missed two
// heartbeats, and the third is late.
const staleAfter = 3 * HeartbeatDefault

// Board keeps the latest report on each gateway from each instance. The zero Board is empty. It is
// used by one goroutine at a time.
type Board struct {
	heard map[place]entry
}

type place struct{ gateway, instance string }

type entry struct {
	report Report
	at     time.Time
}

// Put takes in a report that was heard at that moment, by the listener's own clock: those of the
// instances may differ.
func (b *Board) Put(r Report, heard time.Time) {
	if b.heard == nil {
		b.heard = make(map[place]entry)
	}
	b.heard[place{r.Gateway, r.Instance}] = entry{r, heard}
}

// Reports returns the latest reports, sorted by gateway and instance, and forgets instances that
// have not been heard of for three heartbeats.
func (b *Board) Reports(now time.Time) []Report {
	maps.DeleteFunc(b.heard, func(_ place, e entry) bool { return now.Sub(e.at) > staleAfter })
	reports := make([]Report, 0, len(b.heard))
	for _, e := range b.heard {
		reports = append(reports, e.report)
	}
	slices.SortFunc(reports, func(x, y Report) int {
		return cmp.Or(cmp.Compare(x.Gateway, y.Gateway), cmp.Compare(x.Instance, y.Instance))
	})
	return reports
}

// decode reads a report. It refuses one that names another gateway or instance than its subject
// does.
func decode(subject string, data []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("decode report on %s: %w", subject, err)
	}
	if Subject(r.Gateway, r.Instance) != subject {
		return Report{}, fmt.Errorf("decode report on %s: it is about %s at %s", subject, r.Gateway, r.Instance)
	}
	return r, nil
}
