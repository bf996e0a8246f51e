package store

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/outbox/pgarray"
)

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

// paymentColumns are the arguments $1 to $24 of writePaymentsSQL.
func paymentColumns(rows []*entry) []any {
	return []any{
		pgarray.UUIDs(rows, func(e *entry) uuid.UUID { return e.row.id }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.previousVersion }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.version }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.tenant }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.status }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.amountMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.authorizedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.capturedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.refundedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.releasedMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.capturableMinor }),
		pgarray.Int64s(rows, func(e *entry) int64 { return e.row.refundableMinor }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.currency }),
		pgarray.Int16s(rows, func(e *entry) int16 { return e.row.exponent }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.captureMethod }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.customerID }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.merchantReference }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.gateway }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.gatewayReference }),
		pgarray.Texts(rows, func(e *entry) string { return e.row.failureCode }),
		pgarray.Times(rows, func(e *entry) time.Time { return e.row.createdAt }),
		pgarray.Times(rows, func(e *entry) time.Time { return e.row.updatedAt }),
		pgarray.Times(rows, func(e *entry) time.Time { return e.row.awaitingSince }),
		pgarray.Bytes(rows, func(e *entry) []byte { return e.row.state }),
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
		pgarray.UUIDs(set, func(e *entry) uuid.UUID { return e.row.id }),
		pgarray.Texts(set, func(e *entry) string { return e.row.tenant }),
		pgarray.Times(set, func(e *entry) time.Time { return e.dueAt }),
	}
}
