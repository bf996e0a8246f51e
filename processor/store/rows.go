package store

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/outbox/pgarray"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// PaymentRow is a row of the table payments; the migrations describe its columns. All of it but
// PreviousVersion is derived from the state.
type PaymentRow struct {
	ID                       uuid.UUID
	PreviousVersion, Version int64
	Tenant, Status           string

	AmountMinor, AuthorizedMinor, CapturedMinor, RefundedMinor int64
	ReleasedMinor, CapturableMinor, RefundableMinor            int64

	Currency                  string
	Exponent                  int16
	CaptureMethod             string
	CustomerID                string
	MerchantReference         string
	Gateway, GatewayReference string
	FailureCode               string
	CreatedAt                 time.Time // zero is null
	UpdatedAt                 time.Time
	AwaitingSince             time.Time // zero is null
	State                     []byte
}

// NewPaymentRow returns the row of a payment that a commit writes over the row of previousVersion
// (0: there is none). state is the payment as AppendJSON encodes it.
func NewPaymentRow(p *payment.Payment, previousVersion int64, state []byte) PaymentRow {
	return PaymentRow{
		ID: p.ID, PreviousVersion: previousVersion, Version: p.Version,
		Tenant: p.Tenant, Status: string(p.Status),
		AmountMinor: p.AmountMinor, AuthorizedMinor: p.AuthorizedMinor, CapturedMinor: p.CapturedMinor,
		RefundedMinor: p.RefundedMinor, ReleasedMinor: p.ReleasedMinor,
		CapturableMinor: p.CapturableMinor(), RefundableMinor: p.RefundableMinor(),
		Currency: p.Currency, Exponent: int16(p.Exponent), //nolint:gosec // G115: ISO 4217 has exponents up to 4
		CaptureMethod: string(p.CaptureMethod),
		CustomerID:    p.CustomerID, MerchantReference: p.MerchantReference,
		Gateway: p.Gateway, GatewayReference: p.GatewayReference, FailureCode: failureCode(p),
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, AwaitingSince: awaitingSince(p), State: state,
	}
}

// failureCode is why the payment failed or, while it may still be paid otherwise, why it was
// declined.
func failureCode(p *payment.Payment) string {
	if p.FailureCode == "" && p.Decline != nil {
		return p.Decline.Code
	}
	return p.FailureCode
}

// awaitingSince is the time of the oldest call whose answer a worker is waiting for, zero if there
// is none. Such an operation has no timer: if the worker dies, the sweep finds it.
func awaitingSince(p *payment.Payment) time.Time {
	var since time.Time
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Status != payment.OperationSent {
			continue
		}
		if since.IsZero() || op.SentAt.Before(since) {
			since = op.SentAt
		}
	}
	return since
}

// claimRow is a row of commands.
type claimRow struct {
	tenant, command, key, operationID, outcome string
	conflictHash, payloadHash                  []byte
	paymentID                                  uuid.UUID
	version                                    int64
}

// name tells claims apart, and from payment ids, and orders them.
func (c *claimRow) name() string {
	return "claim\x00" + c.tenant + "\x00" + c.command + "\x00" + c.key + "\x00" + string(c.conflictHash)
}

// The values of commands.outcome.
const (
	outcomeAccepted = "accepted"
	outcomeRejected = "rejected"
)

// eventRow is a row of payment_events.
type eventRow struct {
	paymentID              uuid.UUID
	version                int64
	occurredAt             time.Time
	eventType, traceparent string
	data                   []byte
}

// Rows are what changes write, as the arguments of the statements that write it: one array for each
// column. They are for programs that write the rows of a commit without the store, such as a
// benchmark.
type Rows struct {
	// Payments are the columns of the table payments, in the order of write_payments.sql ($1 to
	// $24).
	Payments []any
	// Claims are the columns of the table commands, in the order of write_payments.sql ($25 to
	// $33); nil if no change has a claim.
	Claims []any
	// Messages are the rows of the outbox, in the order of the changes and of their events.
	Messages []outbox.Message

	history history
}

// Encode returns the rows of changes, of which no two may be of one payment. As Commit does, it
// sets the LastHash of each payment. Unlike Commit it looks nothing up: PreviousHash has to be set.
// It fails if a change contradicts itself.
func Encode(changes []Change) (Rows, error) {
	entries := make([]*entry, len(changes))
	for i := range changes {
		var err error
		if entries[i], err = newEntry(&changes[i]); err != nil {
			return Rows{}, err
		}
	}
	rows := Rows{Payments: paymentColumns(entries), history: newHistory(entries)}
	if claims := claimsOf(entries); len(claims) > 0 {
		rows.Claims = claimColumns(claims)
	}
	for _, e := range entries {
		rows.Messages = append(rows.Messages, e.messages...)
	}
	return rows, nil
}

// QueueHistory queues the statements by which a commit writes the events and the timers.
func (r *Rows) QueueHistory(batch *pgx.Batch) { r.history.queue(batch) }

// history is the arguments of the statements that write events and timers; nil if there is nothing
// to write.
type history struct{ events, timersSet, timersDeleted []any }

func newHistory(entries []*entry) history {
	var events []*eventRow
	var set, deleted []*entry
	for _, e := range entries {
		for i := range e.events {
			events = append(events, &e.events[i])
		}
		switch e.timerChange {
		case timerStays:
		case timerSet:
			set = append(set, e)
		case timerDeleted:
			deleted = append(deleted, e)
		}
	}
	h := history{events: eventColumns(events)}
	if len(set) > 0 {
		h.timersSet = timerColumns(set)
	}
	if len(deleted) > 0 {
		h.timersDeleted = []any{pgarray.UUIDs(deleted, func(e *entry) uuid.UUID { return e.row.ID })}
	}
	return h
}

func (h *history) queue(batch *pgx.Batch) {
	batch.Queue(writeEventsSQL, h.events...)
	if h.timersSet != nil {
		batch.Queue(writeTimersSQL, h.timersSet...)
	}
	if h.timersDeleted != nil {
		batch.Queue(deleteTimersSQL, h.timersDeleted...)
	}
}

// PaymentColumns returns the columns of rows, one array for each, in the order of
// write_payments.sql ($1 to $24).
func PaymentColumns(rows []PaymentRow) []any {
	entries := make([]*entry, len(rows))
	for i := range rows {
		entries[i] = &entry{row: rows[i]}
	}
	return paymentColumns(entries)
}

// paymentColumns are the arguments $1 to $24 of writePaymentsSQL.
func paymentColumns(rows []*entry) []any {
	return []any{
		pgarray.UUIDs(rows, func(e *entry) uuid.UUID { return e.row.ID }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.PreviousVersion }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.Version }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.Tenant }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.Status }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.AmountMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.AuthorizedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.CapturedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.RefundedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.ReleasedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.CapturableMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.RefundableMinor }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.Currency }),
		pgarray.Int16s(rows, func(e *entry) int16 { return e.row.Exponent }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.CaptureMethod }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.CustomerID }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.MerchantReference }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.Gateway }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.GatewayReference }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.FailureCode }),
		pgarray.Times(rows, func(e *entry) time.Time { return e.row.CreatedAt }),
		pgarray.Times(rows, func(e *entry) time.Time { return e.row.UpdatedAt }),
		pgarray.Times(rows, func(e *entry) time.Time { return e.row.AwaitingSince }),
		pgarray.Bytes(rows, func(e *entry) []byte { return e.row.State }),
	}
}

// claimColumns are the arguments $25 to $33 of writePaymentsSQL.
func claimColumns(claims []*claimRow) []any {
	return []any{
		pgarray.Texts(claims, func(c *claimRow) string { return c.tenant }),
		pgarray.Texts(claims, func(c *claimRow) string { return c.command }),
		pgarray.Texts(claims, func(c *claimRow) string { return c.key }),
		pgarray.Bytes(claims, func(c *claimRow) []byte { return c.conflictHash }),
		pgarray.Bytes(claims, func(c *claimRow) []byte { return c.payloadHash }),
		pgarray.UUIDs(claims, func(c *claimRow) uuid.UUID { return c.paymentID }),
		pgarray.Int64s(claims, func(c *claimRow) int64 { return c.version }),
		pgarray.Texts(claims, func(c *claimRow) string { return c.operationID }),
		pgarray.Texts(claims, func(c *claimRow) string { return c.outcome }),
	}
}

// eventColumns are the arguments of writeEventsSQL.
func eventColumns(events []*eventRow) []any {
	return []any{
		pgarray.UUIDs(events, func(e *eventRow) uuid.UUID { return e.paymentID }),
		pgarray.Int64s(events, func(e *eventRow) int64 { return e.version }),
		pgarray.Times(events, func(e *eventRow) time.Time { return e.occurredAt }),
		pgarray.Texts(events, func(e *eventRow) string { return e.eventType }),
		pgarray.Texts(events, func(e *eventRow) string { return e.traceparent }),
		pgarray.Bytes(events, func(e *eventRow) []byte { return e.data }),
	}
}

// timerColumns are the arguments of writeTimersSQL.
func timerColumns(set []*entry) []any {
	return []any{
		pgarray.UUIDs(set, func(e *entry) uuid.UUID { return e.row.ID }),
		pgarray.Texts(set, func(e *entry) string { return e.row.Tenant }),
		pgarray.Times(set, func(e *entry) time.Time { return e.timer.At.Truncate(time.Microsecond) }),
		pgarray.Texts(set, func(e *entry) string { return e.timer.Gateway }),
	}
}

// column takes one field of many rows, as an array for unnest.
func column[R, T any](rows []R, get func(R) T) pgtype.FlatArray[T] {
	values := make(pgtype.FlatArray[T], len(rows))
	for i, r := range rows {
		values[i] = get(r)
	}
	return values
}

func id(u uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: u, Valid: true} }

// instant is null for the zero time.
func instant(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()}
}
