package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
)

// FireTimers puts a resume command for each payment that is due at now into the outbox, at most limit of them, earliest
// first, and returns how many, and when the next timer is to fire (zero if there is none).
//
// Firing does not remove a timer: what the command leads to does, by moving the payment on. If it leads to nothing, because
// it was lost or its worker died, the timer fires again after lease, under another message id. Several schedulers may
// fire at once; each timer is fired by one of them. Nothing fires before its time by the clock of the database, however far
// ahead now is.
func (s *Store) FireTimers(ctx context.Context, now time.Time, limit int, lease time.Duration) (int, time.Time, error) {
	var fired int
	var next pgtype.Timestamptz
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settingsSQL); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, fireTimersSQL, instant(now), limit, lease)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, scanTimer)
		if err != nil {
			return err
		}
		commands, err := resumeCommands(due, now)
		if err != nil {
			return err
		}
		fired = len(commands)
		if err := outbox.Append(ctx, tx, commands...); err != nil {
			return err
		}
		return tx.QueryRow(ctx, nextTimerSQL).Scan(&next)
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("fire timers: %w", err)
	}
	return fired, next.Time, nil
}

// The kinds of timer; see the table.
const (
	timerDue   = "due"
	timerStale = "stale"
)

// timer is a row of timers.
type timer struct {
	paymentID     uuid.UUID
	kind, tenant  string
	dueAt, fireAt time.Time
	fired         int32
}

func scanTimer(row pgx.CollectableRow) (timer, error) {
	var t timer
	err := row.Scan((*[16]byte)(&t.paymentID), &t.kind, &t.tenant, &t.dueAt, &t.fireAt, &t.fired)
	return t, err
}

func resumeCommands(timers []timer, now time.Time) ([]outbox.Message, error) {
	commands := make([]outbox.Message, 0, len(timers))
	for i := range timers {
		command, err := timers[i].resume(now)
		if err != nil {
			return nil, fmt.Errorf("resume payment %s: %w", timers[i].paymentID, err)
		}
		commands = append(commands, command)
	}
	return commands, nil
}

// resume is the command that a timer fires. Its id is the same for one firing and differs between two of them:
// otherwise the stream would drop the second as a repetition of the first.
func (t *timer) resume(now time.Time) (outbox.Message, error) {
	command := messages.Command{
		ID:     t.kind + "-" + t.dueAt.UTC().Format("20060102T150405.000000") + "-" + strconv.Itoa(int(t.fired)),
		Tenant: t.tenant, PaymentID: t.paymentID, Body: &messages.Resume{DueAt: t.dueAt.UTC()},
	}
	command.ID = messages.CommandMessageID(command)
	subject, header, body, err := messages.EncodeCommand(command, messages.Origin{Time: now})
	if err != nil {
		return outbox.Message{}, err
	}
	delete(header, messages.HeaderMessageID)
	return outbox.Message{
		Subject: subject, ID: command.ID, OrderingKey: t.paymentID.String(), Header: header, Payload: body,
	}, nil
}

// SweepStale finds payments with a call to a gateway that was made before now minus olderThan and that nobody came back
// from, because its worker died and its command was not delivered again. It sets a timer for each, at most limit of
// them, for FireTimers to fire, and returns how many. It may be repeated and called concurrently: a payment has one such
// timer, which goes when the call has been settled.
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
		tag, err := tx.Exec(ctx, sweepStaleSQL, before, instant(now), limit)
		swept = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sweep stale payments: %w", err)
	}
	return int(swept), nil
}
