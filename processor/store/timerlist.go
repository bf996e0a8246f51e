package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Timer is when a payment needs attention without anyone asking.
type Timer struct {
	PaymentID uuid.UUID
	Tenant    string
	// Kind is due, what the payment's own state asks for, or stale, a call to a gateway that nobody came back from.
	Kind string
	// DueAt is when, FireAt when a scheduler next takes it: later than DueAt if it was fired Fired times to no effect.
	DueAt, FireAt time.Time
	Fired         int32
}

// TimerKinds are the kinds of timers that there are.
func TimerKinds() []string { return []string{timerDue, timerStale} }

// TimerFilter says which timers to list: those that fit all the fields that are set.
type TimerFilter struct {
	Tenant, Kind string
	// DueBefore is exclusive; zero means no bound.
	DueBefore time.Time
}

// Timers returns timers in the order in which they fire, and the position of the next page, "" if there is none. Timers
// that change while somebody pages through them may be seen twice, or not, as they move; others don't disturb it. It fails with
// ErrInvalidCursor for a position that it did not give.
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
	found, err := pgx.CollectRows(rows, scanTimer)
	if err != nil {
		return nil, "", fmt.Errorf("list timers: %w", err)
	}
	if len(found) > limit {
		found = found[:limit]
		last := found[limit-1]
		next = timerCursor{last.fireAt, last.paymentID, last.kind}.String()
	}
	for _, t := range found {
		timers = append(timers, Timer{t.paymentID, t.tenant, t.kind, t.dueAt.UTC(), t.fireAt.UTC(), t.fired})
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
	if year := c.fireAt.Year(); year < 1970 || year > 9999 || c.kind != timerDue && c.kind != timerStale {
		return timerCursor{}, fmt.Errorf("%w: %q", ErrInvalidCursor, s)
	}
	return c, nil
}
