package books

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// EventRef is an event as it is known elsewhere, on the bus for example, to be compared with what
// is recorded.
type EventRef struct {
	PaymentID   uuid.UUID
	Version     int64
	BodyHash    [sha256.Size]byte
	Traceparent string
}

// EventMismatch says how an EventRef differs from what is recorded.
type EventMismatch struct {
	// Index is its place among those that were asked about, from 0.
	Index int
	// Found is false if there is no such event; the other two are then false, too.
	Found, SameBody, SameTraceparent bool
}

// MatchEvents compares events with the history and returns those that are not recorded exactly so,
// in no particular order. It takes one statement for all of them; a few thousand at a time are a
// good measure.
func MatchEvents(ctx context.Context, db store.DB, refs []EventRef) ([]EventMismatch, error) {
	var mismatches []EventMismatch
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, store.Settings()); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, auditMatchSQL,
			column(refs, func(r EventRef) pgtype.UUID { return id(r.PaymentID) }),
			column(refs, func(r EventRef) int64 { return r.Version }),
			column(refs, func(r EventRef) []byte { return r.BodyHash[:] }),
			column(refs, func(r EventRef) string { return r.Traceparent }))
		if err != nil {
			return err
		}
		mismatches, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (EventMismatch, error) {
			var m EventMismatch
			err := row.Scan(&m.Index, &m.Found, &m.SameBody, &m.SameTraceparent)
			m.Index-- // PostgreSQL counts from 1
			return m, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("match %d events: %w", len(refs), err)
	}
	return mismatches, nil
}

// Unanswered returns the indexes of the commands that no claim answers. Each has a key. It takes
// one statement for all of them; a few thousand at a time are a good measure.
func Unanswered(ctx context.Context, db store.DB, commands []messages.Command) ([]int, error) {
	var indexes []int
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, store.Settings()); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, auditCommandsSQL,
			column(commands, func(c messages.Command) string { return c.Tenant }),
			column(commands, func(c messages.Command) string { return string(c.Name()) }),
			column(commands, func(c messages.Command) string { return c.IdempotencyKey }),
			column(commands, func(c messages.Command) pgtype.UUID { return id(c.PaymentID) }),
			column(commands, func(c messages.Command) []byte { return c.PayloadHash[:] }),
			column(commands, func(c messages.Command) []byte { return store.ConflictHash(c.PayloadHash, c.PaymentID) }))
		if err != nil {
			return err
		}
		indexes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (int, error) {
			var position int
			err := row.Scan(&position)
			return position - 1, err // PostgreSQL counts from 1
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for the claims of %d commands: %w", len(commands), err)
	}
	return indexes, nil
}

// Awaiting is a payment with a call to a gateway under way and no timer.
type Awaiting struct {
	PaymentID uuid.UUID
	Version   int64
	// Since is when the oldest of the calls was made.
	Since time.Time
}

// ListAwaiting returns the payments that only a command can bring on, all of them or those that are
// named. In a healthy deployment they are those that workers are at.
func ListAwaiting(ctx context.Context, db store.DB, only ...uuid.UUID) ([]Awaiting, error) {
	var named []pgtype.UUID // nil: all
	for _, paymentID := range only {
		named = append(named, id(paymentID))
	}
	rows, err := db.Query(ctx, auditAwaitingSQL, pgx.QueryExecModeCacheDescribe, named)
	if err != nil {
		return nil, fmt.Errorf("list awaiting payments: %w", err)
	}
	awaiting, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Awaiting, err error) {
		err = row.Scan((*[16]byte)(&a.PaymentID), &a.Version, &a.Since)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("list awaiting payments: %w", err)
	}
	return awaiting, nil
}

// Moment is the database as of one moment, which keeps PostgreSQL from vacuuming for as long as it
// is looked at.
type Moment struct{ tx pgx.Tx }

// AtOneMoment lets read see the database as it is now, without later writes. No timeout of
// statements applies.
func AtOneMoment(ctx context.Context, db store.DB, read func(*Moment) error) error {
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, oneMomentSQL); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, unhurriedSQL); err != nil {
			return err
		}
		// The moment is that of the first statement that reads.
		if _, err := tx.Exec(ctx, currentSchemaSQL); err != nil {
			return err
		}
		return read(&Moment{tx: tx})
	})
	if err != nil {
		return fmt.Errorf("read one moment: %w", err)
	}
	return nil
}

// Waiting calls yield with every event that waits in the outbox to be published.
func (m *Moment) Waiting(ctx context.Context, yield func(paymentID uuid.UUID, version int64)) error {
	rows, err := m.tx.Query(ctx, auditWaitingSQL)
	return eachEvent(rows, err, yield)
}

// Committed calls yield with every event of a type that is published and that occurred at or after
// from; zero means all. They come in no particular order, one row at a time, however many there
// are.
func (m *Moment) Committed(ctx context.Context, from time.Time, yield func(paymentID uuid.UUID, version int64)) error {
	rows, err := m.tx.Query(ctx, auditCommittedSQL, instant(from))
	return eachEvent(rows, err, yield)
}

func eachEvent(rows pgx.Rows, err error, yield func(uuid.UUID, int64)) error {
	if err == nil {
		var paymentID uuid.UUID
		var version int64
		_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &version}, func() error {
			yield(paymentID, version)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	return nil
}

// EventOf is what is recorded of one event.
type EventOf struct {
	Version    int64
	Type       messages.EventType
	OccurredAt time.Time
	Tenant     string
}

// EventsOf returns the events of one payment, in order.
func (m *Moment) EventsOf(ctx context.Context, paymentID uuid.UUID) ([]EventOf, error) {
	rows, err := m.tx.Query(ctx, auditEventsOfSQL, id(paymentID))
	if err != nil {
		return nil, fmt.Errorf("read events of payment %s: %w", paymentID, err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e EventOf, err error) {
		err = row.Scan(&e.Version, (*string)(&e.Type), &e.OccurredAt, &e.Tenant)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read events of payment %s: %w", paymentID, err)
	}
	return events, nil
}

// Payments calls yield with every payment, or with those that are named, those with refusals only
// included, in no particular order and one at a time, however many there are. It returns the first
// error of yield. A state that can't be read is an error.
func (m *Moment) Payments(ctx context.Context, yield func(*payment.Payment) error, only ...uuid.UUID) error {
	var named []pgtype.UUID // nil: all
	for _, paymentID := range only {
		named = append(named, id(paymentID))
	}
	rows, err := m.tx.Query(ctx, auditStatesSQL, pgx.QueryExecModeCacheDescribe, named)
	if err != nil {
		return fmt.Errorf("read payments: %w", err)
	}
	var paymentID uuid.UUID
	var state []byte
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &state}, func() error {
		p, err := store.DecodeState(state)
		if err != nil {
			return fmt.Errorf("payment %s: %w", paymentID, err)
		}
		return yield(p)
	})
	if err != nil {
		return fmt.Errorf("read payments: %w", err)
	}
	return nil
}

// DecidedCommand is what became of one command: the claim of its idempotency key.
type DecidedCommand struct {
	Tenant  string
	Command messages.CommandName
	Key     string
	// ConflictHash is empty for the command that used its key first, and that of ConflictHash for
	// one that was refused because the key was taken.
	ConflictHash []byte
	PayloadHash  [sha256.Size]byte
	PaymentID    uuid.UUID
	// Version is that of the event that answered it, EventType that event's type, "" if there is no
	// such event, and CausationID the id of the command that caused it.
	Version     int64
	OperationID string
	Rejected    bool
	EventType   messages.EventType
	CausationID string
}

// Decided calls yield with what became of every command of the tenants, in no particular order.
func (m *Moment) Decided(ctx context.Context, tenants []string, yield func(DecidedCommand)) error {
	rows, err := m.tx.Query(ctx, auditClaimsSQL, tenants)
	if err != nil {
		return fmt.Errorf("read commands: %w", err)
	}
	for rows.Next() {
		var c DecidedCommand
		var outcome string
		var payloadHash []byte
		if err := rows.Scan(&c.Tenant, (*string)(&c.Command), &c.Key, &c.ConflictHash, &payloadHash, (*[16]byte)(&c.PaymentID),
			&c.Version, &c.OperationID, &outcome, (*string)(&c.EventType), &c.CausationID); err != nil {
			rows.Close()
			return fmt.Errorf("read commands: %w", err)
		}
		if len(payloadHash) != len(c.PayloadHash) {
			rows.Close()
			return errors.New("read commands: a payload hash is of the wrong size")
		}
		copy(c.PayloadHash[:], payloadHash)
		c.Rejected = outcome == "rejected"
		yield(c)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read commands: %w", err)
	}
	return nil
}

// Unfinished is a call or a timer that a payment waits for.
type Unfinished struct {
	PaymentID uuid.UUID `json:"payment_id"`
	Tenant    string    `json:"tenant"`
	// What is "call" for an answer that a worker waits for, or "timer" with the kind of timer.
	What string `json:"what"`
	// Since is when the call was made, or when the timer is due.
	Since time.Time `json:"since"`
	// Operations are those that have not settled, such as "capture unknown", separated by commas;
	// "" if there is none.
	Operations string `json:"operations,omitempty"`
}

// ListUnfinished returns the calls that are under way and the timers that are due before the
// horizon, oldest first, at most limit of them.
func ListUnfinished(ctx context.Context, db store.DB, horizon time.Time, limit int) ([]Unfinished, error) {
	rows, err := db.Query(ctx, auditUnfinishedSQL, instant(horizon), limit)
	if err != nil {
		return nil, fmt.Errorf("list what is unfinished: %w", err)
	}
	unfinished, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Unfinished, error) {
		var u Unfinished
		err := row.Scan((*[16]byte)(&u.PaymentID), &u.Tenant, &u.What, &u.Since, &u.Operations)
		return u, err
	})
	if err != nil {
		return nil, fmt.Errorf("list what is unfinished: %w", err)
	}
	return unfinished, nil
}
