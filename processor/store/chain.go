package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
)

// The events of a payment form a chain: each carries the hash of the one before it, and the payment's state the hash of the
// last. An event that is changed, removed or put in between breaks the chain at its place. Who recomputes the rest of the
// chain and the state leaves no trace in them; that is what checkpoints are for, see checkpoint.go.

// startOfChain is the hash that the first event of a change carries: that of the payment's latest event. A payment that was
// last written by a version without chains has none in its state; then its latest event is hashed, so that the chain covers
// it from now on.
func (s *Store) startOfChain(ctx context.Context, c *Change) (messages.Hash, error) {
	if c.ExpectedVersion == 0 || !c.PreviousHash.IsZero() || c.Payment == nil {
		return c.PreviousHash, nil
	}
	var hash []byte
	err := s.pool.QueryRow(ctx, eventHashSQL, id(c.Payment.ID), c.ExpectedVersion).Scan(&hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // The version was never written: the change will lose.
		return messages.Hash{}, nil
	case err != nil:
		return messages.Hash{}, fmt.Errorf("hash event %d: %w", c.ExpectedVersion, err)
	default:
		return messages.Hash(hash), nil
	}
}

// link looks at the place of an event in its chain. It is called for every event in turn, whether or not those before it
// could be folded. Events without a link are from before there was a chain, or from a version that knew none.
func (e *examined) link(row *eventRow, previousHash messages.Hash, t *tally) {
	problem := ""
	switch {
	case previousHash.IsZero():
	case previousHash != e.lastHash && row.version == 1:
		problem = "event 1 follows another event"
	case previousHash != e.lastHash:
		problem = fmt.Sprintf("event %d does not follow what is there as event %d", row.version, e.latest)
	}
	t.check(HashChain, row.paymentID, problem)
	e.latest, e.lastHash, e.chained = row.version, messages.EventHash(row.traceparent, row.data), !previousHash.IsZero()
}

// wrongEnd compares the end of the chain with the state. The state of a payment that was last written by a version
// without chains has no hash, and its last event no link.
func (e *examined) wrongEnd(last messages.Hash) string {
	switch {
	case last == e.lastHash || last.IsZero() && !e.chained:
		return ""
	case last.IsZero():
		return fmt.Sprintf("the state has no hash of event %d", e.latest)
	default:
		return fmt.Sprintf("event %d is not the last event that the state knows", e.latest)
	}
}
