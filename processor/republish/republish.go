package republish

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

const (
	// pageSize is how many payments are in memory at once, with their histories.
	pageSize = 200
	// backlogMax is how many rows may wait in the outbox before more are added, so that live events
	// don't wait for long.
	backlogMax = 10_000
	// backlogPoll is how often to look whether there is room.
	backlogPoll = 100 * time.Millisecond
	// leftMax is how many of the payments that were left are named.
	leftMax = 100
)

// Parts are the parts that Run needs. All are required.
type Parts struct {
	DB        store.DB
	JetStream jetstream.JetStream
	// Backlog says how many rows wait in the outbox, and whether a relay works on them:
	// outbox.Backlog.
	Backlog func(context.Context) (rows int64, relayed bool, err error)
}

// windowMargin is how late the server may be, at least, to forget a message id.
const windowMargin = time.Second

// Options select the events to publish again. The zero value publishes those that the bus lacks.
type Options struct {
	books.PublishedRange
	// All sends events again that the bus holds, too.
	All bool
	// DryRun only counts.
	DryRun bool
	// Progress hears of every few hundred payments; nil tells no one.
	Progress func(Report)
}

// Report is the result of a run.
type Report struct {
	// Payments were looked at; Behind of them lack events on the bus, or have them in the wrong
	// order.
	Payments int64 `json:"payments"`
	Behind   int64 `json:"payments_behind"`
	// Missing are the events that were neither on the bus nor on their way.
	Missing int64 `json:"events_missing"`
	// Queued are the events that were put into the outbox; in a dry run those that would be.
	Queued int64 `json:"events_queued"`
	// NotInStore are messages on the bus that the history does not hold, or not with this body.
	NotInStore int64 `json:"messages_not_in_store"`
	// Left are the payments that were left for later, by reason; LeftPayments names some of them.
	Left         map[Reason]int64 `json:"payments_left"`
	LeftPayments []Left           `json:"left,omitempty"`
}

// Run compares the payments of a range with the bus, a page at a time, and puts missing events into
// the outbox. It may be interrupted and repeated, and run beside everything else. The report counts
// the work done also when it fails.
func Run(ctx context.Context, parts Parts, o Options) (Report, error) {
	r := &run{Parts: parts, Options: o, report: Report{Left: map[Reason]int64{}}}
	if err := r.begin(ctx); err != nil {
		return r.report, err
	}
	for after := uuid.Nil; ; {
		page, err := books.PublishedPage(ctx, r.DB, r.PublishedRange, after, pageSize)
		if err != nil || len(page) == 0 {
			return r.report, err
		}
		if err := r.work(ctx, page); err != nil {
			return r.report, err
		}
		if r.Progress != nil {
			r.Progress(r.report)
		}
		after = page[len(page)-1].PaymentID
	}
}

type run struct {
	Parts
	Options
	window time.Duration
	report Report
}

// begin learns from the stream how far back it reaches: an aged event is not missing.
func (r *run) begin(ctx context.Context) error {
	info, err := r.stream(ctx)
	if err != nil {
		return err
	}
	// More than the window, since the server forgets when it comes to it, which may be late on a
	// busy machine.
	r.window = info.Config.Duplicates + max(info.Config.Duplicates/10, windowMargin)
	if oldest := info.TimeStamp.Add(-info.Config.MaxAge); info.Config.MaxAge > 0 && r.Since.Before(oldest) {
		r.Since = oldest
	}
	return nil
}

func (r *run) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := r.JetStream.Stream(ctx, messages.StreamEvents)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", messages.StreamEvents, err)
	}
	return stream.CachedInfo(), nil
}

// work takes one page of payments from the look at the bus to the outbox.
func (r *run) work(ctx context.Context, page []books.Published) error {
	found, err := r.look(ctx, page)
	if err != nil {
		return err
	}
	r.report.Payments += int64(len(page))
	choice := choice{since: r.Since, until: r.Until, all: r.All}
	var resends []books.Resend
	again := map[uuid.UUID]int64{}
	for i, p := range page {
		r.report.NotInStore += foreign(p, found[i])
		d := choice.decide(p, found[i])
		r.report.Missing += d.missing
		if d.from != 0 {
			r.report.Behind++
		}
		switch {
		case d.reason != "":
			r.leave(p.PaymentID, d.reason)
		case d.from != 0:
			resends = append(resends, books.Resend{Published: p, From: d.from})
			again[p.PaymentID] = d.again
		}
	}
	return r.send(ctx, resends, again)
}

// send puts events into the outbox once there is room.
func (r *run) send(ctx context.Context, resends []books.Resend, again map[uuid.UUID]int64) error {
	if len(resends) == 0 {
		return nil
	}
	var refused map[uuid.UUID]books.Refused
	if !r.DryRun {
		if err := r.awaitRoom(ctx); err != nil {
			return err
		}
		var err error
		if refused, err = books.Republish(ctx, r.DB, resends); err != nil {
			return err
		}
	}
	for paymentID, events := range again {
		if reason, left := refused[paymentID]; left {
			r.leave(paymentID, Reason(reason))
			continue
		}
		r.report.Queued += events
	}
	return nil
}

func (r *run) leave(paymentID uuid.UUID, reason Reason) {
	r.report.Left[reason]++
	if len(r.report.LeftPayments) < leftMax {
		r.report.LeftPayments = append(r.report.LeftPayments, Left{paymentID, reason})
	}
}

// awaitRoom waits while a relay has enough to do. Without a relay nothing would make room, so it
// does not wait.
func (r *run) awaitRoom(ctx context.Context) error {
	for {
		rows, relayed, err := r.Backlog(ctx)
		if err != nil || !relayed || rows < backlogMax {
			return err
		}
		if !retry.Sleep(ctx, backlogPoll) {
			return ctx.Err()
		}
	}
}

// foreign counts messages that are not the payment's events. One that the history did not hold a
// moment ago may just have been committed, if it is new on the bus, too.
func foreign(p books.Published, found []onBus) (n int64) {
	events := make(map[string]*books.PublishedEvent, len(p.Events))
	for i := range p.Events {
		events[p.Events[i].Message.ID] = &p.Events[i]
	}
	for _, m := range found {
		e, known := events[m.id]
		if known && !bytes.Equal(e.Message.Payload, m.body) || !known && !m.recent && p.Unreadable == nil {
			n++
		}
	}
	return n
}
