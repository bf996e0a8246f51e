package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

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

// List returns payments, newest first. Payments created while somebody pages through a list don't disturb it: a page
// begins where the one before ended.
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
	// The plan depends on which filters are set, so the statement is planned anew each time, for its arguments.
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
		return decodeState(state)
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

// String makes the cursor opaque: nobody should build one, or depend on what is in it.
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
