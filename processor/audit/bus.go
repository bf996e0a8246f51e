package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// BusOptions tunes Bus. Zero values mean the defaults.
type BusOptions struct {
	// Workers is the number of concurrent lookups in the database; 0 means 2. Each takes a
	// connection.
	Workers int
	// FindingsMax bounds Report.Findings; 0 means 100. Violations beyond it are counted, too.
	FindingsMax int
	// Progress is called now and then, by one goroutine at a time, with the messages read and in
	// all. May be nil.
	Progress func(done, total int64)
	// Payments are those to compare; none means all.
	Payments []uuid.UUID
}

// BusReport is the result of Bus.
type BusReport struct {
	Report
	// Messages counts the messages that were read, Repeated those of them that were there before,
	// which is allowed.
	Messages int64 `json:"messages"`
	Repeated int64 `json:"repeated"`
	// Republished counts the payments that had lost events on the bus, which came again later with
	// all that follow them.
	Republished int64 `json:"republished"`
	// Committed counts the events that belong on the bus, Waiting those in the outbox.
	Committed int64 `json:"committed"`
	Waiting   int64 `json:"waiting"`
	// Since is the time from which events are held against the bus; zero means all. Older events
	// may have aged there.
	Since time.Time `json:"since,omitzero"`
}

// Bus compares the stream of events with the history: every message on the bus is in the history,
// byte for byte and under the right subject, headers and id; every committed event is on the bus
// or waits in the outbox; and the events of a payment came in order. An event that comes again is
// counted; if it comes with another body, that is a violation.
//
// Events that a stream has lost cannot be put back in their place: they come behind newer ones,
// and these again behind them. So a payment's events are also in order if a reader who takes an
// event up only behind the one before it gets all of them; what else comes is a repeat.
//
// It may run while payments are processed. Its memory is 30 to 60 bytes for each payment, and as
// much for each event that waits in the outbox or came out of order. The pool must allow Workers+1
// connections.
//
// An error means that the comparison could not be completed, not that it found a violation.
func Bus(ctx context.Context, db store.DB, js jetstream.JetStream, o BusOptions) (BusReport, error) {
	o.Workers = cmp.Or(o.Workers, 2)
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	a := &busAudit{
		db: db, options: o, tally: newTally(o.FindingsMax), seen: newSightings(), late: map[uuid.UUID][]lateEvent{},
		batches: make(chan []message, o.Workers),
	}
	err := a.run(ctx, js)
	a.report.Report = a.tally.result()
	if err != nil {
		return a.report, fmt.Errorf("compare the bus with the history: %w", err)
	}
	return a.report, nil
}

// busAudit is one run of Bus.
type busAudit struct {
	db      store.DB
	options BusOptions
	tally   *tally
	report  BusReport
	stream  jetstream.Stream
	seen    *sightings
	// late are the events that came behind a newer one of their payment.
	late    map[uuid.UUID][]lateEvent
	batch   []message
	batches chan []message
}

// batchMax is the number of messages that are looked up in one statement.
const batchMax = 4096

func (a *busAudit) run(ctx context.Context, js jetstream.JetStream) error {
	var err error
	if a.stream, err = js.Stream(ctx, messages.StreamEvents); err != nil {
		return fmt.Errorf("open stream %s: %w", messages.StreamEvents, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	for range a.options.Workers {
		working.Go(func() {
			if err := a.matchBatches(ctx); err != nil {
				cancel(err)
			}
		})
	}
	if len(a.options.Payments) > 0 {
		err = a.compareSome(ctx, js)
	} else {
		err = a.compare(ctx, js)
	}
	close(a.batches)
	working.Wait()
	return firstCause(ctx, err)
}

// firstCause returns the cause of the context's end, if it has ended, instead of an error that
// follows from it.
func firstCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// compare reads the stream to its end, then looks at the database, then reads the messages that
// have come since. So an event that was committed and no longer in the outbox at that moment must
// be among the messages read, and the snapshot of the database lives only for the last part.
func (a *busAudit) compare(ctx context.Context, js jetstream.JetStream) error {
	info, err := a.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", messages.StreamEvents, err)
	}
	a.report.Since = agedBefore(info)
	reading, err := openReading(ctx, a.stream)
	if err != nil {
		return err
	}
	defer reading.stop()
	if err := a.readTo(ctx, reading, info.State); err != nil {
		return err
	}
	waiting := map[eventKey]struct{}{}
	return books.AtOneMoment(ctx, a.db, func(now *books.Moment) error {
		if err := now.Waiting(ctx, func(paymentID uuid.UUID, version int64) {
			waiting[eventKey{paymentID, version}] = struct{}{}
		}); err != nil {
			return err
		}
		a.report.Waiting = int64(len(waiting))
		info, err := a.stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("look at stream %s: %w", messages.StreamEvents, err)
		}
		a.report.Since = agedBefore(info) // What has aged during the reading, too.
		if err := a.readTo(ctx, reading, info.State); err != nil {
			return err
		}
		if err := a.judgeLate(ctx, js); err != nil {
			return err
		}
		return a.findMissing(ctx, now, waiting)
	})
}

func (a *busAudit) findMissing(ctx context.Context, now *books.Moment, waiting map[eventKey]struct{}) error {
	err := now.Committed(ctx, a.report.Since, func(paymentID uuid.UUID, version int64) {
		a.report.Committed++
		if a.seen.has(paymentID, version) {
			return
		}
		if _, waits := waiting[eventKey{paymentID, version}]; !waits {
			a.tally.found(Published, paymentID, "event %d is neither on the bus nor in the outbox", version)
		}
	})
	a.tally.checked(Published, a.report.Committed)
	return err
}

// clockSkewMax is the greatest difference allowed between the clocks of workers and of NATS
// servers.
const clockSkewMax = time.Minute

// agedBefore is the time from which every event must still be on the bus; zero if nothing ages
// there. Only age excuses: an event is published after it occurred, so one that occurred later
// than MaxAge ago cannot have aged, no matter what else the stream has lost. Where MaxAge was
// raised, what had aged under the lower one is missed until it would have aged under the new one.
func agedBefore(info *jetstream.StreamInfo) time.Time {
	if info.Config.MaxAge == 0 {
		return time.Time{}
	}
	return info.TimeStamp.Add(clockSkewMax - info.Config.MaxAge)
}

// readTo reads on until all that the stream held at that state has been read.
func (a *busAudit) readTo(ctx context.Context, r *reading, state jetstream.StreamState) error {
	total := max(a.report.Messages, int64(state.Msgs)) //nolint:gosec // G115: a count of messages
	for state.Msgs > 0 && r.sequence < state.LastSeq {
		m, err := r.next()
		if errors.Is(err, errSilent) {
			if state, err = a.left(ctx, state); err != nil {
				return err
			}
			if err := r.reopen(ctx); err != nil {
				return firstCause(ctx, err)
			}
			continue
		}
		if err != nil {
			return firstCause(ctx, err)
		}
		a.take(m)
		if len(a.batch) == batchMax {
			if err := a.handOver(ctx); err != nil {
				return err
			}
			a.options.Progress(a.report.Messages, total)
		}
	}
	if err := a.handOver(ctx); err != nil {
		return err
	}
	a.options.Progress(a.report.Messages, total)
	return nil
}

// left counts the messages still to be read of a state when none comes: 0, if the last of them has
// aged since.
func (a *busAudit) left(ctx context.Context, state jetstream.StreamState) (jetstream.StreamState, error) {
	info, err := a.stream.Info(ctx)
	if err != nil {
		return state, fmt.Errorf("look at stream %s: %w", messages.StreamEvents, err)
	}
	if info.State.FirstSeq > state.LastSeq {
		state.Msgs = 0
	}
	return state, nil
}

// take does the part of the comparison that needs the order of the stream.
func (a *busAudit) take(m message) {
	a.report.Messages++
	a.batch = append(a.batch, m)
	if m.problem != "" {
		return
	}
	first, after := a.seen.see(m.paymentID, m.version)
	if !first {
		a.report.Repeated++
		return
	}
	a.tally.checked(BusOrder, 1)
	if after > 0 && a.report.Since.IsZero() { // Otherwise this one may repeat an earlier one that has aged.
		tenant, _, _, err := messages.ParseEventSubject(m.subject)
		if err != nil {
			return // a message that is on no subject of an event is a finding of its own
		}
		a.late[m.paymentID] = append(a.late[m.paymentID], lateEvent{tenant: tenant, version: m.version, after: after, sequence: m.sequence})
	}
}

func (a *busAudit) handOver(ctx context.Context) error {
	if len(a.batch) == 0 {
		return nil
	}
	select {
	case a.batches <- a.batch:
		a.batch = make([]message, 0, batchMax)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// matchBatches looks batches up until there are no more.
func (a *busAudit) matchBatches(ctx context.Context) error {
	for batch := range a.batches {
		if err := a.match(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (a *busAudit) match(ctx context.Context, batch []message) error {
	a.tally.checked(BusMatchesHistory, int64(len(batch)))
	refs := make([]books.EventRef, 0, len(batch))
	asked := make([]*message, 0, len(batch))
	for i := range batch {
		m := &batch[i]
		if m.problem == "" {
			refs, asked = append(refs, m.ref()), append(asked, m)
			m.problem = m.misfit()
		}
		if m.problem != "" {
			a.tally.found(BusMatchesHistory, m.paymentID, "message %d: %s", m.sequence, m.problem)
		}
	}
	mismatches, err := books.MatchEvents(ctx, a.db, refs)
	if err != nil {
		return err
	}
	for _, mismatch := range mismatches {
		m := asked[mismatch.Index]
		a.tally.found(BusMatchesHistory, m.paymentID, "message %d, event %d: %s", m.sequence, m.version, explain(mismatch))
	}
	return nil
}

func explain(m books.EventMismatch) string {
	switch {
	case !m.Found:
		return "the history has no such event"
	case !m.SameBody:
		return "its body is not that of the event"
	default:
		return "its traceparent is not that of the event"
	}
}

// lateEvent is an event that came for the first time behind a newer one of its payment.
type lateEvent struct {
	tenant         string
	version, after int64
	sequence       uint64
}

// judgeLate looks again at the payments whose events did not come in order the first time: after a
// loss they came once more, with everything that follows them.
func (a *busAudit) judgeLate(ctx context.Context, js jetstream.JetStream) error {
	for paymentID, events := range a.late {
		restored, err := cameAgainInOrder(ctx, js, events[0].tenant, paymentID)
		switch {
		case err != nil:
			return err
		case restored:
			a.report.Republished++
			continue
		}
		for _, e := range events {
			a.tally.found(BusOrder, paymentID, "event %d came after event %d, at %d in the stream", e.version, e.after, e.sequence)
		}
	}
	return nil
}

// cameAgainInOrder reports whether a payment's events came in the order of their versions, repeats
// aside.
func cameAgainInOrder(ctx context.Context, js jetstream.JetStream, tenant string, paymentID uuid.UUID) (bool, error) {
	filter, err := messages.PaymentEventFilter(tenant, paymentID)
	if err != nil {
		return false, err
	}
	var came []int64
	err = bus.Scan(ctx, js, bus.ScanFrom{Stream: messages.StreamEvents, Subject: filter}, func(msg *jetstream.RawStreamMsg) bool {
		if e, err := messages.DecodeEventBody(msg.Data); err == nil {
			came = append(came, e.Version)
		}
		return true
	})
	if err != nil {
		return false, err
	}
	return inOrder(came), nil
}

// inOrder reports whether versions, as they came, have all of theirs in rising order among them.
// So it is after a loss, when the events from the lost one on came again; and a single event that
// comes again later, from a relay that was stalled, changes nothing.
func inOrder(came []int64) bool {
	wanted := slices.Clone(came)
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	for _, version := range came {
		if len(wanted) > 0 && version == wanted[0] {
			wanted = wanted[1:]
		}
	}
	return len(wanted) == 0
}
