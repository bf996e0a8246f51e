package books

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// eventRow is a row of payment_events.
type eventRow struct {
	paymentID              uuid.UUID
	version                int64
	occurredAt             time.Time
	eventType, traceparent string
	data                   []byte
}

// examined is a payment of a chunk while its rows come in.
type examined struct {
	row     store.PaymentRow
	missing bool // there is no row, only a history
	folded  *payment.Payment
	version int64 // of the latest event read
	broken  bool  // the history can't be folded any further

	latest   int64         // version of the latest event read, folded or not
	lastHash messages.Hash // of that event
	chained  bool          // that event carries the hash of the one before it

	due   *store.Timer
	stale *store.Timer
}

// chunk is a range of payment ids, both ends included.
type chunk struct{ from, to uuid.UUID }

// checkChunk is how many payments a worker takes at a time.
const checkChunk = 500

// cutPayments cuts the range of all ids into chunks with about as many payments each. The ends
// meet, so that events and timers of payments that don't exist fall into some chunk, too.
func cutPayments(ctx context.Context, db store.DB, after string, yield func(piece) error) error {
	for {
		from, err := idAfter(after)
		if err != nil {
			return err
		}
		next := piece{after: after, to: uuid.Max.String()}
		var bound pgtype.UUID
		err = db.QueryRow(ctx, checkBoundSQL, id(from), checkChunk-1).Scan(&bound)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			next.last = true
		case err != nil:
			return err
		default:
			next.to = uuid.UUID(bound.Bytes).String()
		}
		if err := yield(next); err != nil || next.last {
			return err
		}
		after = next.to
	}
}

// idAfter is the id that follows one in the order of PostgreSQL; after "" comes the first.
func idAfter(after string) (uuid.UUID, error) {
	if after == "" {
		return uuid.Nil, nil
	}
	u, err := uuid.Parse(after)
	if err != nil {
		return u, fmt.Errorf("position %q: %w", after, err)
	}
	return successor(u), nil
}

// successor is the next id in the order of PostgreSQL, which is that of the bytes.
func successor(u uuid.UUID) uuid.UUID {
	for i := len(u) - 1; i >= 0; i-- {
		u[i]++
		if u[i] != 0 {
			break
		}
	}
	return u
}

// checkPayments checks the payments with ids in a range, with their events and timers.
func (c *checker) checkPayments(ctx context.Context, tx pgx.Tx, p piece, t *tally) error {
	from, err := idAfter(p.after)
	if err != nil {
		return err
	}
	to, err := uuid.Parse(p.to)
	if err != nil {
		return err
	}
	return c.checkChunk(ctx, tx, chunk{from, to}, t)
}

func (c *checker) checkChunk(ctx context.Context, tx pgx.Tx, r chunk, t *tally) error {
	payments, err := readPayments(ctx, tx, r)
	if err != nil {
		return fmt.Errorf("read payments: %w", err)
	}
	t.payments = int64(len(payments))
	t.done = t.payments
	if err := c.foldEvents(ctx, tx, r, payments, t); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	if err := c.readTimers(ctx, tx, r, payments, t); err != nil {
		return fmt.Errorf("read timers: %w", err)
	}
	for paymentID, e := range payments {
		c.checkPayment(paymentID, e, t)
	}
	return nil
}

func readPayments(ctx context.Context, tx pgx.Tx, r chunk) (map[uuid.UUID]*examined, error) {
	rows, err := tx.Query(ctx, checkPaymentsSQL, id(r.from), id(r.to))
	if err != nil {
		return nil, err
	}
	payments := make(map[uuid.UUID]*examined, checkChunk)
	var row store.PaymentRow
	var created, updated, awaiting pgtype.Timestamptz
	_, err = pgx.ForEachRow(rows, []any{
		(*[16]byte)(&row.ID), &row.PreviousVersion, &row.Version, &row.Tenant, &row.Status,
		&row.AmountMinor, &row.AuthorizedMinor, &row.CapturedMinor, &row.RefundedMinor, &row.ReleasedMinor,
		&row.CapturableMinor, &row.RefundableMinor, &row.Currency, &row.Exponent, &row.CaptureMethod,
		&row.CustomerID, &row.MerchantReference, &row.Gateway, &row.GatewayReference, &row.FailureCode,
		&created, &updated, &awaiting, &row.State,
	}, func() error {
		row.CreatedAt, row.UpdatedAt, row.AwaitingSince = created.Time, updated.Time, awaiting.Time
		e := &examined{row: row, folded: &payment.Payment{}}
		e.row.State = bytes.Clone(row.State)
		payments[row.ID] = e
		return nil
	})
	return payments, err
}

// foldEvents reads the events one after the other, however many a payment has. Of histories without
// a payment only the one at hand is kept, however many there are.
func (c *checker) foldEvents(ctx context.Context, tx pgx.Tx, r chunk, payments map[uuid.UUID]*examined, t *tally) error {
	rows, err := tx.Query(ctx, checkEventsSQL, id(r.from), id(r.to))
	if err != nil {
		return err
	}
	var row eventRow
	var occurred pgtype.Timestamptz
	var orphan *examined
	_, err = pgx.ForEachRow(rows, []any{
		(*[16]byte)(&row.paymentID), &row.version, &occurred, &row.eventType, &row.traceparent, &row.data,
	}, func() error {
		t.events++
		row.occurredAt = occurred.Time
		e := payments[row.paymentID]
		if e == nil {
			if orphan == nil || orphan.row.ID != row.paymentID {
				orphan = newOrphan(row.paymentID)
				t.report(StateMatchesHistory, row.paymentID, "there are events of the payment, but no payment")
				if c.keepOrphans {
					payments[row.paymentID] = orphan
				}
			}
			e = orphan
		}
		found := len(t.findings)
		e.fold(&row, t)
		if c.trace != nil {
			c.trace(&row, t.findings[found:])
		}
		return nil
	})
	return err
}

// newOrphan is a payment that has events and no row.
func newOrphan(paymentID uuid.UUID) *examined {
	return &examined{row: store.PaymentRow{ID: paymentID}, missing: true, folded: &payment.Payment{}}
}

// fold applies the next event, unless one before it was broken: what follows would only repeat
// that. The chain is followed in any case.
func (e *examined) fold(row *eventRow, t *tally) {
	event, err := messages.DecodeEventBody(row.data)
	e.link(row, event.PreviousHash, t)
	if e.broken {
		return
	}
	problem := ""
	if row.version != e.version+1 {
		problem = fmt.Sprintf("event %d follows event %d", row.version, e.version)
	}
	t.check(VersionsContiguous, row.paymentID, problem)
	e.version = row.version
	if problem == "" {
		problem = e.apply(row, event, err)
		t.check(HistoryReadable, row.paymentID, problem)
	}
	e.broken = problem != ""
}

func (e *examined) apply(row *eventRow, event messages.Event, err error) (problem string) {
	if err != nil {
		return fmt.Sprintf("event %d: %v", row.version, err)
	}
	if event.PaymentID != row.paymentID || event.Version != row.version ||
		string(event.Type()) != row.eventType || !event.OccurredAt.Equal(row.occurredAt) {
		return fmt.Sprintf("event %d: the body does not say what the row says", row.version)
	}
	if err := payment.Apply(e.folded, event); err != nil {
		return err.Error()
	}
	e.folded.LastHash = e.lastHash
	if event.Status != e.folded.Status {
		return fmt.Sprintf("event %d: says that it leads to %s, but leads to %s", row.version, event.Status, e.folded.Status)
	}
	return ""
}

// The events of a payment form a chain: each carries the hash of the one before it, and the
// payment's state the hash of the last. An event that is changed, removed or put in between breaks
// the chain at its place. A forger who recomputes the rest of the chain and the state leaves no
// trace in them: checkpoints find that, see checkpoint.go.

// link looks at the place of an event in its chain. It is called for every event in turn, whether
// or not those before it could be folded. Events without a link are from before there was a chain,
// or from a version that knew none.
func (e *examined) link(row *eventRow, previousHash messages.Hash, t *tally) {
	problem := ""
	switch {
	case previousHash.IsZero():
	case previousHash != e.lastHash && row.version == 1:
		problem = "event 1 follows another event"
	case previousHash != e.lastHash:
		problem = fmt.Sprintf("event %d does not follow what is there as event %d", row.version, e.latest)
	}
	t.check(HashChain, row.paymentID, problem)
	e.latest, e.lastHash, e.chained = row.version, messages.EventHash(row.traceparent, row.data), !previousHash.IsZero()
}

// wrongEnd compares the end of the chain with the state. The state of a payment that was last
// written by a version without chains has no hash, and its last event no link.
func (e *examined) wrongEnd(last messages.Hash) string {
	switch {
	case last == e.lastHash || last.IsZero() && !e.chained:
		return ""
	case last.IsZero():
		return fmt.Sprintf("the state has no hash of event %d", e.latest)
	default:
		return fmt.Sprintf("event %d is not the last event that the state knows", e.latest)
	}
}

func timersOf(ctx context.Context, tx pgx.Tx, r chunk) ([]store.Timer, error) {
	rows, err := tx.Query(ctx, checkTimersSQL, id(r.from), id(r.to))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Timer, error) {
		var t store.Timer
		err := row.Scan((*[16]byte)(&t.PaymentID), &t.Kind, &t.Tenant, &t.DueAt, &t.FireAt, &t.Fired, &t.Gateway, &t.Now)
		return t, err
	})
}

func (c *checker) readTimers(ctx context.Context, tx pgx.Tx, r chunk, payments map[uuid.UUID]*examined, t *tally) error {
	timers, err := timersOf(ctx, tx, r)
	if err != nil {
		return err
	}
	t.timers = int64(len(timers))
	for i := range timers {
		found := &timers[i]
		t.check(NothingStuck, found.PaymentID, c.stuckTimer(found))
		e := payments[found.PaymentID]
		switch {
		case e == nil:
			t.report(TimersMatchState, found.PaymentID, "there is a timer of the payment, but no payment")
		case found.Kind == store.TimerDue:
			e.due = found
		default:
			e.stale = found
		}
	}
	return nil
}

func (c *checker) stuckTimer(t *store.Timer) string {
	if !t.DueAt.Before(c.staleBefore()) {
		return ""
	}
	return fmt.Sprintf("the timer (%s) was due at %s, has fired %d times and is still there",
		t.Kind, t.DueAt.UTC().Format(time.RFC3339), t.Fired)
}

// checkPayment checks a payment of which everything has been read.
func (c *checker) checkPayment(paymentID uuid.UUID, e *examined, t *tally) {
	if !e.broken {
		problem := ""
		if e.version != e.row.Version {
			problem = fmt.Sprintf("the payment is at version %d, its history ends at %d", e.row.Version, e.version)
		}
		t.check(VersionsContiguous, paymentID, problem)
	}
	stored, problem := e.stored()
	if !e.broken || problem != "" {
		t.check(StateMatchesHistory, paymentID, problem)
	}
	if stored == nil {
		return
	}
	t.check(HashChain, paymentID, e.wrongEnd(stored.LastHash))
	derived := store.NewPaymentRow(stored, e.row.PreviousVersion, nil)
	t.check(ColumnsMatchState, paymentID, differingColumns(&e.row, &derived))
	t.check(WithinLimits, paymentID, stored.BrokenLimit())
	t.check(OperationsUnique, paymentID, repeatedOperation(stored))
	t.check(TimersMatchState, paymentID, wrongTimer(stored, e.due, c.options.Now))
	t.check(NothingStuck, paymentID, c.stuckCall(e, derived.AwaitingSince))
	t.check(NothingStuck, paymentID, forgotten(stored, c.options.Now))
}

// stored is the payment as its state has it, nil if that can't be read, and how it differs from the
// history as far as that could be folded. A state of the very bytes that the folded payment is
// written as is that payment: nearly all are, and decoding is most of the work.
func (e *examined) stored() (p *payment.Payment, problem string) {
	if !e.broken && bytes.Equal(e.folded.AppendJSON(nil), e.row.State) {
		return e.folded, ""
	}
	p, err := store.DecodeState(e.row.State)
	if err != nil {
		return nil, err.Error()
	}
	if !e.broken {
		e.folded.LastHash = p.LastHash // is the chain's to check
		problem = differingFields(p, e.folded)
	}
	return p, problem
}

func repeatedOperation(p *payment.Payment) string {
	for i := range p.Operations {
		if operationID := p.Operations[i].ID; p.Operation(operationID) != &p.Operations[i] {
			return "operation " + operationID + " is there twice"
		}
	}
	return ""
}

// rescheduleMax bounds how far [store.Store.Reschedule] puts a timer off: the longest pause
// between two questions about an operation that its gateway is still working on.
const rescheduleMax = 12 * time.Hour

// wrongTimer compares the due timer of a payment with its state. The timer of a pending operation
// moves without an event, as its schedule goes on: any time is right that is not later than the
// state asks for now plus the longest pause. An earlier one fires, or is stuck.
func wrongTimer(p *payment.Payment, found *store.Timer, now time.Time) string {
	wanted := p.Timer(now)
	due := wanted.At.Truncate(time.Microsecond)
	latest := due
	if slices.ContainsFunc(p.Operations, func(op payment.Operation) bool { return op.Status == payment.OperationPending }) {
		latest = due.Add(rescheduleMax)
	}
	switch {
	case found == nil && due.IsZero():
		return ""
	case found == nil:
		return "no timer is set for " + due.Format(time.RFC3339)
	case due.IsZero():
		return "a timer is set for " + found.DueAt.UTC().Format(time.RFC3339) + ", nothing is due"
	case found.DueAt.After(latest) || latest.Equal(due) && !found.DueAt.Equal(due):
		return "the timer is set for " + found.DueAt.UTC().Format(time.RFC3339Nano) + ", due is " + due.Format(time.RFC3339Nano)
	case found.Tenant != p.Tenant:
		return "the timer belongs to another tenant"
	case found.Gateway != wanted.Gateway:
		return fmt.Sprintf("the timer waits for gateway %q, the payment for %q", found.Gateway, wanted.Gateway)
	case found.FireAt.Before(found.DueAt) && !found.Now:
		return "the timer fires before it is due"
	default:
		return ""
	}
}

// forgotten names an operation that only time can bring on, of a payment for which no time is set.
// A call under way is not among them: its command comes again, or the sweep finds it.
func forgotten(p *payment.Payment, now time.Time) string {
	if p.InReview() || !p.Timer(now).At.IsZero() {
		return "" // In a review, a person is to come.
	}
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Status == payment.OperationPending || op.Status == payment.OperationUnknown || op.Status == payment.OperationNotSent {
			return fmt.Sprintf("operation %s (%s) is open, and neither a timer nor a command is to come", op.ID, op.Kind)
		}
	}
	return ""
}

// stuckCall looks for a call that was made at since (zero: none), whose worker is gone and which no
// sweep has found.
func (c *checker) stuckCall(e *examined, since time.Time) string {
	if since.IsZero() || e.stale != nil || !since.Before(c.staleBefore()) {
		return ""
	}
	return "a call to the gateway has been without an answer since " + since.UTC().Format(time.RFC3339)
}
