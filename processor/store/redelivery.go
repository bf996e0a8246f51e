package store

import (
	"context"
	"fmt"
	"time"
)

// Redelivery names a command in its stream that was delivered before.
type Redelivery struct {
	// Sequence and Stored are the place and the time of the command in the stream.
	Sequence uint64
	Stored   time.Time
}

func (r Redelivery) key() string {
	return fmt.Sprintf("%d@%s", r.Sequence, r.Stored.UTC().Format(time.RFC3339Nano))
}

// BeginRedelivery notes that a worker begins a command that was delivered before, and returns the
// number of times that was noted. So a command that ends its process each time is counted, and one
// that only waited in that process is not. Each call counts.
func (s *Store) BeginRedelivery(ctx context.Context, r Redelivery) (begun int, err error) {
	if err := s.pool.QueryRow(ctx, beginRedeliverySQL, r.key()).Scan(&begun); err != nil {
		return 0, fmt.Errorf("count redelivery of command %s: %w", r.key(), err)
	}
	return begun, nil
}

// EndRedelivery forgets a command that came to its end. It may be repeated.
func (s *Store) EndRedelivery(ctx context.Context, r Redelivery) error {
	if _, err := s.pool.Exec(ctx, endRedeliverySQL, r.key()); err != nil {
		return fmt.Errorf("forget redelivery of command %s: %w", r.key(), err)
	}
	return nil
}
