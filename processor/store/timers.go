package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/outbox/pgarray"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// FireTimers puts a resume command for each payment that is due at now into the outbox, at most
// limit of them, earliest first, and returns how many, and when the next timer is to fire (zero if
// there is none).
//
// Firing does not remove a timer: what the command leads to does, by moving the payment on. A
// fired timer does not fire again, however long its command waits, until HandledResumes says that
// the command does not wait any more, and not before lease has passed. Then it fires under another
// message id. Several schedulers may fire at once; each timer is fired by one of them. Nothing
// fires before its time by the clock of the database, however far ahead now is.
func (s *Store) FireTimers(ctx context.Context, now time.Time, limit int, lease time.Duration) (int, time.Time, error) {
	var fired int
	var next pgtype.Timestamptz
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settingsSQL); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, fireTimersSQL, instant(now), limit)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, scanTimer)
		if err != nil {
			return err
		}
		if fired = len(due); fired > 0 {
			if err := fire(ctx, tx, due, now, lease); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, nextTimerSQL).Scan(&next)
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("fire timers: %w", err)
	}
	return fired, next.Time, nil
}

// fire puts the resumes of timers, which the transaction has locked, into the outbox.
func fire(ctx context.Context, tx pgx.Tx, due []Timer, now time.Time, lease time.Duration) error {
	for i := range due {
		due[i].Fired++
	}
	commands, err := resumeCommands(due, now)
	if err != nil {
		return err
	}
	places, err := outbox.AppendPlaces(ctx, tx, commands...)
	if err != nil {
		return err
	}
	resumes := make([]Resume, len(due))
	for i := range due {
		resumes[i] = Resume{place: places[i], paymentID: due[i].PaymentID, kind: due[i].Kind}
	}
	_, err = tx.Exec(ctx, timersFiredSQL, append([]any{instant(now), lease}, resumeColumns(resumes)...)...)
	return err
}

// Timer is a row of timers: the time at which a payment needs attention though no command for it
// comes.
type Timer struct {
	PaymentID uuid.UUID
	Tenant    string
	// Kind is TimerDue or TimerStale.
	Kind string
	// DueAt is the time that was asked for. FireAt is when a scheduler next takes the timer, at the
	// earliest: later than DueAt if it was fired Fired times to no effect, earlier if Now is set.
	DueAt, FireAt time.Time
	Fired         int32
	// Gateway is the gateway that the payment waits for because it could not be reached; "" if the
	// payment waits for a time only. Now says that Unpark has brought the timer forward.
	Gateway string
	Now     bool
}

// The kinds of timers.
const (
	// TimerDue is the timer that the payment's own state asks for.
	TimerDue = "due"
	// TimerStale is set by SweepStale for a call to a gateway whose worker did not come back.
	TimerStale = "stale"
)

// TimerKinds are the kinds of timers that there are.
func TimerKinds() []string { return []string{TimerDue, TimerStale} }

func scanTimer(row pgx.CollectableRow) (Timer, error) {
	var t Timer
	err := row.Scan((*[16]byte)(&t.PaymentID), &t.Kind, &t.Tenant, &t.DueAt, &t.FireAt, &t.Fired, &t.Gateway, &t.Now)
	t.DueAt, t.FireAt = t.DueAt.UTC(), t.FireAt.UTC()
	return t, err
}

func resumeCommands(timers []Timer, now time.Time) ([]outbox.Message, error) {
	commands := make([]outbox.Message, 0, len(timers))
	for i := range timers {
		command, err := timers[i].resume(now)
		if err != nil {
			return nil, fmt.Errorf("resume payment %s: %w", timers[i].PaymentID, err)
		}
		commands = append(commands, command)
	}
	return commands, nil
}

// resume is the command that a timer fires. Its id is the same for one firing and differs between
// two of them: otherwise the stream would drop the second as a repetition of the first.
func (t *Timer) resume(now time.Time) (outbox.Message, error) {
	command := messages.Command{
		ID:     t.Kind + "-" + t.DueAt.Format("20060102T150405.000000") + "-" + strconv.Itoa(int(t.Fired)),
		Tenant: t.Tenant, PaymentID: t.PaymentID, Body: &messages.Resume{DueAt: t.DueAt, Now: t.Now},
	}
	command.ID = messages.CommandMessageID(command)
	subject, header, body, err := messages.EncodeCommand(command, messages.Origin{Time: now})
	if err != nil {
		return outbox.Message{}, err
	}
	delete(header, messages.HeaderMessageID)
	return outbox.Message{
		Subject: subject, ID: command.ID, OrderingKey: t.PaymentID.String(), Header: header, Payload: body,
	}, nil
}

// SweepStale finds payments with a call to a gateway that was made before now minus olderThan and
// whose worker did not come back, because it died and its command was not delivered again. It sets
// a timer for each, at most limit of them, for FireTimers to fire, and returns how many. It may be
// repeated and called concurrently: a payment has one such timer, which goes when the call has been
// settled.
func (s *Store) SweepStale(ctx context.Context, now time.Time, olderThan time.Duration, limit int) (int, error) {
	if olderThan <= 0 {
		return 0, errors.New("sweep stale payments: the age must be positive, or calls under way would be swept")
	}
	var swept int64
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settingsSQL); err != nil {
			return err
		}
		before := instant(now.Add(-olderThan))
		if _, err := tx.Exec(ctx, clearStaleSQL, before); err != nil {
			return err
		}
		// Those of commands whose end was not noted.
		if _, err := tx.Exec(ctx, oldRedeliveriesSQL); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sweepStaleSQL, before, instant(now), limit)
		swept = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sweep stale payments: %w", err)
	}
	return int(swept), nil
}

// ReplaceTimers removes the due timers of payments and sets others, each of which needs PaymentID,
// Tenant and DueAt, and takes Gateway. It is for repairs: Commit sets the timers of the payments
// that it writes.
func ReplaceTimers(ctx context.Context, tx pgx.Tx, of []uuid.UUID, by []Timer) error {
	if _, err := tx.Exec(ctx, deleteTimersSQL, pgarray.UUIDs(of, func(u uuid.UUID) uuid.UUID { return u })); err != nil {
		return fmt.Errorf("delete timers: %w", err)
	}
	return writeTimers(ctx, tx, by)
}

func writeTimers(ctx context.Context, tx pgx.Tx, by []Timer) error {
	_, err := tx.Exec(ctx, writeTimersSQL,
		pgarray.UUIDs(by, func(t Timer) uuid.UUID { return t.PaymentID }),
		pgarray.Texts(by, func(t Timer) string { return t.Tenant }),
		pgarray.Times(by, func(t Timer) time.Time { return t.DueAt.Truncate(time.Microsecond) }),
		pgarray.Texts(by, func(t Timer) string { return t.Gateway }))
	if err != nil {
		return fmt.Errorf("write timers: %w", err)
	}
	return nil
}

// Reschedule moves the due timer of a payment without an event, sets it where there is none, or,
// for the zero Timer, removes it. It is for a payment of which nothing is to be recorded: its
// gateway has just said again that it is not done. It fails with ErrVersionConflict, having
// changed nothing, if the tenant's payment is not at that version. It may be repeated and called
// concurrently.
func (s *Store) Reschedule(ctx context.Context, tenant string, paymentID uuid.UUID, version int64, timer payment.Timer) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settingsSQL); err != nil {
			return err
		}
		// Held against commits until the timer is set.
		tag, err := tx.Exec(ctx, rescheduleLockSQL, tenant, id(paymentID), version)
		switch {
		case err != nil:
			return err
		case tag.RowsAffected() == 0:
			return ErrVersionConflict
		}
		var set []Timer
		if !timer.At.IsZero() {
			set = []Timer{{PaymentID: paymentID, Tenant: tenant, DueAt: timer.At, Gateway: timer.Gateway}}
		}
		if set == nil {
			_, err = tx.Exec(ctx, deleteTimersSQL, []pgtype.UUID{id(paymentID)})
			return err
		}
		return writeTimers(ctx, tx, set)
	})
	if err != nil {
		return fmt.Errorf("reschedule payment %s at version %d: %w", paymentID, version, err)
	}
	return nil
}

// Unpark brings the timers of payments that are parked for a gateway forward, at most limit of
// them, and returns how many: each fires between now and now plus spread, at a point that depends
// on the payment's id, and its resume tries at once what is parked. A timer that was fired
// already, or that fires earlier, keeps its time. It may be repeated, until it returns 0, and
// called concurrently: a timer is brought forward once. now counts for no more than the time of
// the database.
func (s *Store) Unpark(ctx context.Context, gateway string, now time.Time, spread time.Duration, limit int) (int, error) {
	var moved int64
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settingsSQL); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, unparkSQL, gateway, instant(now), spread, limit)
		moved = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("unpark payments of gateway %s: %w", gateway, err)
	}
	return int(moved), nil
}

// TimerFilter says which timers to list: those that fit all the fields that are set.
type TimerFilter struct {
	Tenant, Kind string
	// DueBefore is exclusive; zero means no bound.
	DueBefore time.Time
}

// Timers returns timers in the order in which they fire, and the position of the next page, "" if
// there is none. A timer that changes between two pages may be seen twice or not at all; other
// changes don't matter. It fails with ErrInvalidCursor for a position that it did not give.
func (s *Store) Timers(ctx context.Context, filter TimerFilter, page Page) (timers []Timer, next string, err error) {
	var after timerCursor
	if page.After != "" {
		if after, err = parseTimerCursor(page.After); err != nil {
			return nil, "", err
		}
	}
	limit := min(page.Limit, listLimitMax)
	if limit <= 0 {
		limit = listLimitDefault
	}
	// Planned anew each time, for its arguments, as lists of payments are.
	rows, err := s.pool.Query(ctx, listTimersSQL, pgx.QueryExecModeCacheDescribe, filter.Tenant, filter.Kind,
		instant(filter.DueBefore), instant(after.fireAt), id(after.paymentID), after.kind, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list timers: %w", err)
	}
	timers, err = pgx.CollectRows(rows, scanTimer)
	if err != nil {
		return nil, "", fmt.Errorf("list timers: %w", err)
	}
	if len(timers) > limit {
		timers = timers[:limit]
		last := timers[limit-1]
		next = timerCursor{last.FireAt, last.PaymentID, last.Kind}.String()
	}
	return timers, next, nil
}

// timerCursor is the last timer of a page.
type timerCursor struct {
	fireAt    time.Time
	paymentID uuid.UUID
	kind      string
}

// String makes the cursor opaque, as that of payments is; the kind comes last.
func (c timerCursor) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.fireAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(append(b, c.paymentID[:]...), c.kind...))
}

func parseTimerCursor(s string) (timerCursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) <= cursorSize {
		return timerCursor{}, fmt.Errorf("%w: %q", ErrInvalidCursor, s)
	}
	micros := int64(binary.BigEndian.Uint64(b)) //nolint:gosec // G115: only the bits matter
	c := timerCursor{time.UnixMicro(micros).UTC(), uuid.UUID(b[8:cursorSize]), string(b[cursorSize:])}
	if year := c.fireAt.Year(); year < 1970 || year > 9999 || c.kind != TimerDue && c.kind != TimerStale {
		return timerCursor{}, fmt.Errorf("%w: %q", ErrInvalidCursor, s)
	}
	return c, nil
}
