package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// chained is a whole history as it is to be recorded: each event with the hash of the one before
// it.
func chained(events []messages.Event) []messages.Event {
	events = slices.Clone(events)
	for i := range events[1:] {
		body, err := messages.EncodeEventBody(events[i])
		if err != nil {
			panic(err)
		}
		events[i+1].PreviousHash = messages.EventHash(events[i].Traceparent, body)
	}
	return events
}

func lastHash(t *testing.T, history []messages.Event) messages.Hash {
	t.Helper()
	last := history[len(history)-1]
	body, err := messages.EncodeEventBody(last)
	if err != nil {
		t.Fatal(err)
	}
	return messages.EventHash(last.Traceparent, body)
}

// The chain goes through both commits of a command and through further commands, and its end is in
// the state.
func TestHistoryIsChained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := create(newID(), "k1", messages.CaptureManual)
	a := b.Handle(cmd, succeeded(), start())
	if last := b.Handle(command(cmd.PaymentID, "k2", &messages.Capture{}), succeeded(), start()); last.Payment.Version <= a.Payment.Version {
		t.Fatalf("the capture led to version %d", last.Payment.Version)
	}
	history, err := b.Store.History(t.Context(), tenant, cmd.PaymentID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(chained(history), history); diff != "" {
		t.Errorf("-chained +recorded:\n%s", diff)
	}
	p, err := b.Store.Get(t.Context(), tenant, cmd.PaymentID)
	if err != nil || p.LastHash != lastHash(t, history) {
		t.Errorf("the state ends the chain with %s, %v; want %s", p.LastHash, err, lastHash(t, history))
	}
	// The same bytes and the same hash in SQL, and in the outbox.
	if n := b.Count(`SELECT count(*) FROM payment_events e JOIN payment_events n ON n.payment_id = e.payment_id AND n.version = e.version + 1
		WHERE n.data ->> 'previous_hash' = encode(sha256(convert_to(e.traceparent || E'\n' || e.data::text, 'UTF8')), 'hex')`); n != len(history)-1 {
		t.Errorf("%d of %d links are what SQL computes", n, len(history)-1)
	}
	b.WantClean()
}

// A change that lost leaves no trace in the chain of the one that follows, and one that is
// committed again is the same.
func TestLostChangeIsNotInTheChain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := create(newID(), "k1", messages.CaptureManual)
	b.Handle(cmd, succeeded(), start())
	loaded, err := b.Store.Load(t.Context(), keyOf(cmd))
	if err != nil {
		t.Fatal(err)
	}
	decide := func(key string) store.Change {
		void := command(cmd.PaymentID, key, &messages.Void{})
		d := payment.Decide(loaded.Payment, void, env(start()))
		return change(loaded.Payment, d, claimOf(void, d))
	}
	winner, loser := decide("k2"), decide("k3")
	before := slices.Clone(winner.Events)
	b.Commit(winner)
	if diff := cmp.Diff(before, winner.Events); diff != "" {
		t.Errorf("the caller's events were changed:\n%s", diff)
	}
	for range 2 {
		if err := b.Store.Commit(t.Context(), loser); !errors.Is(err, store.ErrVersionConflict) {
			t.Fatalf("the loser: %v", err)
		}
	}
	if err := b.Store.Commit(t.Context(), winner); !errors.Is(err, store.ErrVersionConflict) {
		t.Fatalf("the winner again: %v", err)
	}
	p, err := b.Store.Get(t.Context(), tenant, cmd.PaymentID)
	if err != nil || p.LastHash != winner.Payment.LastHash || p.LastHash == loaded.Payment.LastHash {
		t.Errorf("the state ends the chain with %s, %v; the winner with %s", p.LastHash, err, winner.Payment.LastHash)
	}
	b.WantClean()
}

// What a version without chains has recorded is no tampering, and what follows it is chained to it.
func TestChainBeginsWhereAnOlderVersionEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := create(newID(), "k1", messages.CaptureManual)
	b.Handle(cmd, succeeded(), start())
	b.Unprotect()
	b.Exec(`UPDATE payment_events SET data = (regexp_replace(data::text, ',"previous_hash":"[0-9a-f]*"', ''))::json`)
	b.Exec(`UPDATE payments SET state = (regexp_replace(state::text, ',"last_hash":"[0-9a-f]*"', ''))::json`)
	b.Exec(`DELETE FROM outbox`)
	b.WantClean()
	b.Handle(command(cmd.PaymentID, "k2", &messages.Void{}), succeeded(), start())
	history, err := b.Store.History(t.Context(), tenant, cmd.PaymentID)
	if err != nil {
		t.Fatal(err)
	}
	unchained := 3
	want := chained(history)
	for i := range unchained {
		want[i].PreviousHash = messages.Hash{}
	}
	if len(history) <= unchained || history[unchained].PreviousHash != lastHash(t, history[:unchained]) {
		t.Errorf("event %d of %d is not chained to the one before", unchained+1, len(history))
	}
	b.WantClean()
	b.Exec(`UPDATE payment_events SET traceparent = '' WHERE version = 3`)
	if report := b.Check(); report.Violated[books.HashChain] != 1 {
		t.Errorf("found %+v, want the end of what the older version recorded", report.Findings)
	}
}
