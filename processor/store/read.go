package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Get returns a payment as it stands, or ErrNotFound. tenant "" means any tenant, which is for
// operators only. A payment whose history holds refusals only is found too; its status is none.
func (s *Store) Get(ctx context.Context, tenant string, paymentID uuid.UUID) (*payment.Payment, error) {
	var state []byte
	err := s.pool.QueryRow(ctx, getSQL, id(paymentID), tenant).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get payment %s: %w", paymentID, err)
	}
	p, err := DecodeState(state)
	if err != nil {
		return nil, fmt.Errorf("get payment %s: %w", paymentID, err)
	}
	return p, nil
}

// DecodeState reads a payment from the state that its row holds.
func DecodeState(state []byte) (*payment.Payment, error) {
	p := &payment.Payment{}
	if err := json.Unmarshal(state, p); err != nil {
		return nil, fmt.Errorf("decode state: %w", err)
	}
	return p, nil
}

// History returns all events of a payment in order, those that are not published included, or
// ErrNotFound. tenant "" means any tenant.
func (s *Store) History(ctx context.Context, tenant string, paymentID uuid.UUID) ([]messages.Event, error) {
	rows, err := s.pool.Query(ctx, historySQL, id(paymentID), tenant)
	if err != nil {
		return nil, fmt.Errorf("read history of payment %s: %w", paymentID, err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (messages.Event, error) {
		var body []byte
		var traceparent string
		if err := row.Scan(&body, &traceparent); err != nil {
			return messages.Event{}, err
		}
		event, err := messages.DecodeEventBody(body)
		event.Traceparent = traceparent
		return event, err
	})
	if err == nil && len(events) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read history of payment %s: %w", paymentID, err)
	}
	return events, nil
}

// ReviewEvents returns the events that opened the reviews of payments, in order, by payment; those
// of reviews that have ended are among them. A payment that was never in review, or that isn't
// there, has none.
func (s *Store) ReviewEvents(ctx context.Context, payments []uuid.UUID) (map[uuid.UUID][]messages.Event, error) {
	rows, err := s.pool.Query(ctx, reviewEventsSQL, column(payments, id))
	if err != nil {
		return nil, fmt.Errorf("read reviews: %w", err)
	}
	events := map[uuid.UUID][]messages.Event{}
	var paymentID uuid.UUID
	var body []byte
	var traceparent string
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &body, &traceparent}, func() error {
		event, err := messages.DecodeEventBody(body)
		if err != nil {
			return fmt.Errorf("payment %s: %w", paymentID, err)
		}
		event.Traceparent = traceparent
		events[paymentID] = append(events[paymentID], event)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read reviews: %w", err)
	}
	return events, nil
}

// ListFilter says which payments to list: those that fit all the fields that are set.
type ListFilter struct {
	// Tenant "" lists all tenants, which is for operators only.
	Tenant            string
	CustomerID        string
	Status            messages.Status
	MerchantReference string
	// CreatedFrom is inclusive, CreatedTo exclusive; zero means no bound.
	CreatedFrom, CreatedTo time.Time
}

// Page says which part of a list is wanted.
type Page struct {
	// Limit is how many payments; 0 means 50, more than 1000 counts as 1000.
	Limit int
	// After is the Next of the page before; "" for the first.
	After string
}

// Listed is one page of a list.
type Listed struct {
	Payments []*payment.Payment
	// Next goes into Page.After for the page that follows; "" if there is none.
	Next string
}

// ErrInvalidCursor says that Page.After did not come from List.
var ErrInvalidCursor = errors.New("this is not a position in a list")

const (
	listLimitDefault = 50
	listLimitMax     = 1000
)

// List returns payments, newest first. Payments that are created meanwhile don't disturb a caller
// that pages through the list: a page begins where the one before ended.
func (s *Store) List(ctx context.Context, filter ListFilter, page Page) (Listed, error) {
	var after cursor
	if page.After != "" {
		var err error
		if after, err = parseCursor(page.After); err != nil {
			return Listed{}, err
		}
	}
	limit := min(page.Limit, listLimitMax)
	if limit <= 0 {
		limit = listLimitDefault
	}
	// The plan depends on which filters are set, so the statement is planned anew each time, for
	// its arguments.
	rows, err := s.pool.Query(ctx, listSQL, pgx.QueryExecModeCacheDescribe,
		filter.Tenant, filter.CustomerID, string(filter.Status), filter.MerchantReference,
		instant(filter.CreatedFrom), instant(filter.CreatedTo), instant(after.createdAt), id(after.paymentID), limit+1)
	if err != nil {
		return Listed{}, fmt.Errorf("list payments: %w", err)
	}
	payments, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*payment.Payment, error) {
		var state []byte
		if err := row.Scan(&state); err != nil {
			return nil, err
		}
		return DecodeState(state)
	})
	if err != nil {
		return Listed{}, fmt.Errorf("list payments: %w", err)
	}
	if len(payments) <= limit {
		return Listed{Payments: payments}, nil
	}
	payments = payments[:limit]
	last := payments[limit-1]
	return Listed{Payments: payments, Next: cursor{last.CreatedAt, last.ID}.String()}, nil
}

// cursor is the last payment of a page.
type cursor struct {
	createdAt time.Time
	paymentID uuid.UUID
}

// cursorSize is eight bytes of microseconds since 1970 and sixteen of the payment's id.
const cursorSize = 8 + 16

// String makes the cursor opaque: callers should neither build one nor depend on its contents.
func (c cursor) String() string {
	b := make([]byte, 0, cursorSize)
	b = binary.BigEndian.AppendUint64(b, uint64(c.createdAt.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, c.paymentID[:]...))
}

func parseCursor(s string) (cursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != cursorSize {
		return cursor{}, fmt.Errorf("%w: %q", ErrInvalidCursor, s)
	}
	micros := int64(binary.BigEndian.Uint64(b)) //nolint:gosec // G115: only the bits matter
	c := cursor{createdAt: time.UnixMicro(micros).UTC(), paymentID: uuid.UUID(b[8:])}
	if year := c.createdAt.Year(); year < 1970 || year > 9999 {
		return cursor{}, fmt.Errorf("%w: %q", ErrInvalidCursor, s)
	}
	return c, nil
}
