package simulation

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	eventstore "github.com/seed-384b1f8a/tender/processor/store"
)

// errAway is how the model says that the database could not be reached.
func errAway() error { return fmt.Errorf("simulated: %w", io.ErrUnexpectedEOF) }

func retryable(err error) bool { return eventstore.Retryable(err) }

// store is the model of the event store: rows of payments, claims of keys, and timers.
type store struct {
	w *world
	state
	// kept are earlier moments to which it may be restored.
	kept []state
}

// state is all that the database holds.
type state struct {
	rows   map[uuid.UUID]*row
	claims map[claimKey]eventstore.RecordedClaim
}

// row is one payment. It is replaced as a whole and never changed, but for its timers, which a copy
// of the state takes along.
type row struct {
	p *payment.Payment
	// folded is what the history alone gives.
	folded *payment.Payment
	due    *timer
	stale  *timer
}

type claimKey struct {
	tenant, key string
	command     messages.CommandName
	conflict    string
}

func newStore(w *world) *store {
	s := &store{w: w, state: state{map[uuid.UUID]*row{}, map[claimKey]eventstore.RecordedClaim{}}}
	if w.profile.restore > 0 {
		s.kept = append(s.kept, s.copy())
	}
	return s
}

func (s *store) copy() state {
	c := state{make(map[uuid.UUID]*row, len(s.rows)), maps.Clone(s.claims)}
	for id, r := range s.rows {
		kept := *r
		kept.folded = r.folded.Clone()
		if r.due != nil {
			due := *r.due
			kept.due = &due
		}
		if r.stale != nil {
			stale := *r.stale
			kept.stale = &stale
		}
		c.rows[id] = &kept
	}
	return c
}

// get returns a payment as it stands, at version 0 if there is none. It is not the caller's.
func (s *store) get(id uuid.UUID) *payment.Payment {
	if r := s.rows[id]; r != nil {
		return r.p
	}
	return &payment.Payment{}
}

func (s *store) load(key eventstore.Key) (eventstore.Loaded, error) {
	loaded := eventstore.Loaded{Payment: &payment.Payment{}}
	if r := s.rows[key.PaymentID]; r != nil {
		if r.p.Tenant != key.Tenant {
			return loaded, fmt.Errorf("load payment %s: %w", key.PaymentID, eventstore.ErrOtherTenant)
		}
		loaded.Payment = r.p.Clone()
	}
	if key.IdempotencyKey == "" {
		return loaded, nil
	}
	name := claimKey{tenant: key.Tenant, key: key.IdempotencyKey, command: key.Command}
	if claim, ok := s.claims[name]; ok {
		loaded.Claim = &claim
	}
	if name.conflict = string(key.ConflictHash); name.conflict != "" {
		if claim, ok := s.claims[name]; ok {
			loaded.Conflict = &claim
		}
	}
	return loaded, nil
}

// commit writes a change or none of it, as the real store does.
func (s *store) commit(c *eventstore.Change) error {
	before := s.rows[c.Payment.ID]
	switch {
	case len(c.Events) == 0 || c.ExpectedVersion+int64(len(c.Events)) != c.Payment.Version:
		return fmt.Errorf("%d events after version %d do not lead to version %d", len(c.Events), c.ExpectedVersion, c.Payment.Version)
	case before == nil && c.ExpectedVersion != 0,
		before != nil && (before.p.Version != c.ExpectedVersion || before.p.Tenant != c.Payment.Tenant):
		return eventstore.ErrVersionConflict
	}
	var name claimKey
	if c.Claim != nil {
		name = claimKey{c.Claim.Tenant, c.Claim.Key, c.Claim.Command, string(c.Claim.ConflictHash)}
		if _, taken := s.claims[name]; taken {
			return &eventstore.ClaimTakenError{Tenant: name.tenant, Command: name.command, Key: name.key, PaymentID: c.Payment.ID}
		}
	}
	c.Payment.LastHash = s.hashOf(c)
	after := &row{p: c.Payment.Clone(), folded: &payment.Payment{}}
	if before != nil {
		after.folded, after.due, after.stale = before.folded, before.due, before.stale
		if before.p.LastHash != c.PreviousHash {
			s.w.fail("the history is a chain", "the change after version %d names another previous hash", c.ExpectedVersion)
		}
	}
	s.fold(after, c.Events)
	s.rows[c.Payment.ID] = after
	if c.Claim != nil {
		s.claims[name] = eventstore.RecordedClaim{
			PaymentID: c.Payment.ID, Version: c.Payment.Version, PayloadHash: c.Claim.PayloadHash,
			OperationID: c.Claim.OperationID, Rejected: c.Claim.Rejected,
		}
	}
	s.setTimer(after, c)
	s.w.committed(after.p, c.Events)
	return nil
}

// hashOf stands for the hash of the last event.
func (s *store) hashOf(c *eventstore.Change) (h messages.Hash) {
	v := uint64(c.Payment.Version) ^ s.w.rng.Uint64()<<16 //nolint:gosec // G115: only the bits matter
	for i := range 8 {
		h[i] = byte(v >> (8 * i)) //nolint:gosec // G115: likewise
	}
	return h
}

// fold holds the state to its history: cheaply each time, and byte by byte now and then.
func (s *store) fold(r *row, events []messages.Event) {
	for _, e := range events {
		if err := payment.Apply(r.folded, e); err != nil {
			s.w.fail("the history folds into the state", "%v", err)
			return
		}
	}
	r.folded.LastHash = r.p.LastHash
	if r.folded.Version != r.p.Version || r.folded.Status != r.p.Status {
		s.w.fail("the history folds into the state", "folded %s at %d, stored %s at %d",
			r.folded.Status, r.folded.Version, r.p.Status, r.p.Version)
	}
	if s.w.rng.IntN(32) == 0 {
		s.compare(r)
	}
}

func (s *store) compare(r *row) {
	if folded, stored := r.folded.AppendJSON(nil), r.p.AppendJSON(nil); !bytes.Equal(folded, stored) {
		s.w.fail("the history folds into the state", "folded %s, stored %s", folded, stored)
	}
}

// setTimer moves the payment's due timer as the real store does: one that stays as it was is left
// alone.
func (s *store) setTimer(r *row, c *eventstore.Change) {
	if c.Timer.At.Equal(c.PreviousTimer.At) && c.Timer.Gateway == c.PreviousTimer.Gateway {
		return
	}
	s.put(r, c.Timer)
}

// put sets the due timer anew, or removes it.
func (s *store) put(r *row, t payment.Timer) {
	if t.At.IsZero() {
		r.due = nil
		return
	}
	r.due = &timer{dueAt: t.At, fireAt: t.At, gateway: t.Gateway}
	s.w.lookAt(r.p.ID, t.At)
}

func (s *store) reschedule(tenant string, id uuid.UUID, version int64, t payment.Timer) error {
	r := s.rows[id]
	if r == nil || r.p.Tenant != tenant || r.p.Version != version {
		return eventstore.ErrVersionConflict
	}
	s.put(r, t)
	return nil
}

// keep notes this moment, for a restoration.
func (s *store) keep() { s.kept = append(s.kept, s.copy()) }

// restore takes the database back to an earlier moment. The payments that lose a part of their
// history are excused.
func (s *store) restore() {
	if len(s.kept) == 0 {
		return
	}
	chosen := s.kept[s.w.rng.IntN(len(s.kept))]
	s.kept = nil
	now := s.state
	s.state = chosen
	for _, sub := range s.w.subjects {
		was, is := now.rows[sub.id], s.rows[sub.id]
		if was == nil || is != nil && is.p.Version == was.p.Version {
			continue
		}
		sub.lost, sub.excuse = true, "the database lost a part of its history"
		s.w.trace("RESTORED %s to version %d", s.w.short(sub.id), s.get(sub.id).Version)
	}
	for _, sub := range s.w.subjects {
		if r := s.rows[sub.id]; r != nil {
			// The stream of commands was not restored: what a timer waits for may be gone.
			for _, t := range []*timer{r.due, r.stale} {
				if t != nil {
					t.resume = nil
					s.w.lookAt(sub.id, t.fireAt)
				}
			}
			s.w.sweepLater(r.p)
		}
	}
	s.w.count("restorations")
}

// awaiting is the time of the oldest call whose answer is awaited, as the store's column holds it.
func awaiting(p *payment.Payment) (since time.Time) {
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Status == payment.OperationSent && (since.IsZero() || op.SentAt.Before(since)) {
			since = op.SentAt
		}
	}
	return since
}
