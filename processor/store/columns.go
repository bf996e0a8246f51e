package store

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
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
		column(rows, func(e *entry) pgtype.UUID { return id(e.row.id) }),
		column(rows, func(e *entry) int64 { return e.row.previousVersion }),
		column(rows, func(e *entry) int64 { return e.row.version }),
		column(rows, func(e *entry) string { return e.row.tenant }),
		column(rows, func(e *entry) string { return e.row.status }),
		column(rows, func(e *entry) int64 { return e.row.amountMinor }),
		column(rows, func(e *entry) int64 { return e.row.authorizedMinor }),
		column(rows, func(e *entry) int64 { return e.row.capturedMinor }),
		column(rows, func(e *entry) int64 { return e.row.refundedMinor }),
		column(rows, func(e *entry) int64 { return e.row.releasedMinor }),
		column(rows, func(e *entry) int64 { return e.row.capturableMinor }),
		column(rows, func(e *entry) int64 { return e.row.refundableMinor }),
		column(rows, func(e *entry) string { return e.row.currency }),
		column(rows, func(e *entry) int16 { return e.row.exponent }),
		column(rows, func(e *entry) string { return e.row.captureMethod }),
		column(rows, func(e *entry) string { return e.row.customerID }),
		column(rows, func(e *entry) string { return e.row.merchantReference }),
		column(rows, func(e *entry) string { return e.row.gateway }),
		column(rows, func(e *entry) string { return e.row.gatewayReference }),
		column(rows, func(e *entry) string { return e.row.failureCode }),
		column(rows, func(e *entry) pgtype.Timestamptz { return instant(e.row.createdAt) }),
		column(rows, func(e *entry) pgtype.Timestamptz { return instant(e.row.updatedAt) }),
		column(rows, func(e *entry) pgtype.Timestamptz { return instant(e.row.awaitingSince) }),
		column(rows, func(e *entry) []byte { return e.row.state }),
	}
}

// claimColumns are the arguments $25 to $33 of writePaymentsSQL.
func claimColumns(claims []*claimRow) []any {
	return []any{
		column(claims, func(c *claimRow) string { return c.tenant }),
		column(claims, func(c *claimRow) string { return c.command }),
		column(claims, func(c *claimRow) string { return c.key }),
		column(claims, func(c *claimRow) []byte { return c.conflictHash }),
		column(claims, func(c *claimRow) []byte { return c.payloadHash }),
		column(claims, func(c *claimRow) pgtype.UUID { return id(c.paymentID) }),
		column(claims, func(c *claimRow) int64 { return c.version }),
		column(claims, func(c *claimRow) string { return c.operationID }),
		column(claims, func(c *claimRow) string { return c.outcome }),
	}
}

// eventColumns are the arguments of writeEventsSQL.
func eventColumns(events []*eventRow) []any {
	return []any{
		column(events, func(e *eventRow) pgtype.UUID { return id(e.paymentID) }),
		column(events, func(e *eventRow) int64 { return e.version }),
		column(events, func(e *eventRow) pgtype.Timestamptz { return instant(e.occurredAt) }),
		column(events, func(e *eventRow) string { return e.eventType }),
		column(events, func(e *eventRow) string { return e.traceparent }),
		column(events, func(e *eventRow) []byte { return e.data }),
	}
}

// timerColumns are the arguments of writeTimersSQL.
func timerColumns(set []*entry) []any {
	return []any{
		column(set, func(e *entry) pgtype.UUID { return id(e.row.id) }),
		column(set, func(e *entry) string { return e.row.tenant }),
		column(set, func(e *entry) pgtype.Timestamptz { return instant(e.dueAt) }),
	}
}
