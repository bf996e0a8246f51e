package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func TestWhatIsCommittedIsLoaded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := create(newID(), "k1", messages.CaptureManual)
	c := first(cmd)
	b.Commit(c)

	loaded, err := b.Store.Load(t.Context(), keyOf(cmd))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Payment, loaded.Payment); diff != "" {
		t.Errorf("payment (-committed +loaded):\n%s", diff)
	}
	want := &store.RecordedClaim{
		PaymentID: cmd.PaymentID, Version: c.Payment.Version, PayloadHash: cmd.PayloadHash, OperationID: c.Claim.OperationID,
	}
	if diff := cmp.Diff(want, loaded.Claim); diff != "" {
		t.Errorf("claim (-want +got):\n%s", diff)
	}
	history, err := b.Store.History(t.Context(), tenant, cmd.PaymentID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(chained(c.Events), history); diff != "" {
		t.Errorf("events (-committed +read):\n%s", diff)
	}
	if published := b.Count(`SELECT count(*) FROM outbox o JOIN payment_events e
		ON o.message_id = e.payment_id || ':' || e.version AND convert_from(o.payload, 'UTF8') = e.data::text`); published != len(c.Events) {
		t.Errorf("%d rows in the outbox equal their event, want %d", published, len(c.Events))
	}
}

func TestUnusedKeyAndUnknownPaymentLoadAsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	loaded, err := b.Store.Load(t.Context(), keyOf(create(newID(), "k1", "")))
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Payment.Version != 0 || loaded.Claim != nil || loaded.Conflict != nil {
		t.Errorf("loaded %+v", loaded)
	}
}

func TestStaleVersionLosesAlone(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	cmd := create(newID(), "k1", messages.CaptureManual)
	b.Commit(first(cmd))

	changes := []store.Change{first(create(newID(), "k2", "")), first(create(cmd.PaymentID, "k3", "")), first(create(newID(), "k4", ""))}
	errs := b.commitTogether(changes)
	if errs[0] != nil || errs[2] != nil {
		t.Errorf("the neighbours of a stale change failed: %v, %v", errs[0], errs[2])
	}
	if !errors.Is(errs[1], store.ErrVersionConflict) {
		t.Errorf("a second create of a payment: %v, want ErrVersionConflict", errs[1])
	}
	if n := b.Count(`SELECT count(*) FROM commands WHERE idempotency_key = 'k3'`); n != 0 {
		t.Error("the loser's key is claimed")
	}
	if n := b.Count(`SELECT count(*) FROM payments`); n != 4 { // with the one that held the committer
		t.Errorf("%d payments, want 4", n)
	}
}

func TestTakenClaimLosesAlone(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	b.Commit(first(create(newID(), "taken", "")))

	loser := first(create(newID(), "taken", ""))
	changes := []store.Change{first(create(newID(), "k2", "")), loser, first(create(newID(), "k4", ""))}
	errs := b.commitTogether(changes)
	if errs[0] != nil || errs[2] != nil {
		t.Errorf("the neighbours of a lost claim failed: %v, %v", errs[0], errs[2])
	}
	var taken *store.ClaimTakenError
	if !errors.Is(errs[1], store.ErrClaimTaken) || !errors.As(errs[1], &taken) || taken.Key != "taken" {
		t.Errorf("a key used again: %v, want ErrClaimTaken", errs[1])
	}
	if n := b.Count(`SELECT count(*) FROM payment_events WHERE payment_id = $1`, loser.Payment.ID); n != 0 {
		t.Error("events were written without their claim")
	}
}

func TestWhatPostgresCannotStoreFailsAlone(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	var changes []store.Change
	for i := range 20 {
		changes = append(changes, first(create(newID(), fmt.Sprintf("k%d", i), "")))
	}
	body := &messages.Create{AmountMinor: 100, Currency: "USD", PaymentMethod: "pm", CustomerID: "nul\x00byte"}
	changes[7] = first(command(newID(), "k7", body))
	changes[13].Claim.Key = "nul\x00byte"
	for i, err := range b.commitTogether(changes) {
		bad := i == 7 || i == 13
		if bad != (err != nil) {
			t.Errorf("change %d: %v", i, err)
		}
		if bad && store.Retryable(err) {
			t.Errorf("change %d is worth a retry: %v", i, err)
		}
	}
}

func TestMistakesOfTheCallerAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spoil := map[string]func(*store.Change){
		"no events":              func(c *store.Change) { c.Events = nil },
		"no payment":             func(c *store.Change) { c.Payment = nil },
		"wrong expected version": func(c *store.Change) { c.ExpectedVersion++ },
		"gap between events":     func(c *store.Change) { c.Events[1].Version++ },
		"another payment's":      func(c *store.Change) { c.Events[1].PaymentID = newID() },
		"another tenant's claim": func(c *store.Change) { c.Claim.Tenant = "other" },
		"no key":                 func(c *store.Change) { c.Claim.Key = "" },
		"event without data":     func(c *store.Change) { c.Events[1].Status = "" },
	}
	for name, change := range spoil {
		t.Run(name, func(t *testing.T) {
			c := first(create(newID(), "k", ""))
			change(&c)
			if err := b.Store.Commit(t.Context(), c); err == nil || store.Retryable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	if n := b.Count(`SELECT count(*) FROM payments`); n != 0 {
		t.Errorf("%d payments were written", n)
	}
}

func TestPaymentIDOfAnotherTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cmd := create(newID(), "k1", "")
	b.Commit(first(cmd))
	cmd.Tenant = "other"
	if _, err := b.Store.Load(t.Context(), keyOf(cmd)); !errors.Is(err, store.ErrOtherTenant) || store.Retryable(err) {
		t.Errorf("load: %v, want ErrOtherTenant", err)
	}
	if err := b.Store.Commit(t.Context(), first(cmd)); !errors.Is(err, store.ErrVersionConflict) {
		t.Errorf("commit: %v, want ErrVersionConflict", err)
	}
	if _, err := b.Store.Get(t.Context(), "other", cmd.PaymentID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get: %v, want ErrNotFound", err)
	}
	if _, err := b.Store.History(t.Context(), "other", cmd.PaymentID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("history: %v, want ErrNotFound", err)
	}
}

func TestSameKeyWithAnotherBodyIsRefusedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	original := b.Handle(create(newID(), "order-42", ""), succeeded(), start())
	other := command(newID(), "order-42", &messages.Create{AmountMinor: 5, Currency: "EUR", PaymentMethod: "pm"})
	refused := b.Handle(other, succeeded(), start())
	if refused.Refusal == nil || refused.Refusal.OriginalPaymentID != original.Payment.ID {
		t.Fatalf("got %+v, want a refusal that names %s", refused.Refusal, original.Payment.ID)
	}
	if again := b.Handle(other, succeeded(), start()); !again.Repeat || again.Payment.Version != 1 {
		t.Errorf("refused again: version %d", again.Payment.Version)
	}
	b.WantClean()
}

func TestChangeIsDroppedWithItsCaller(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	hold := b.holdCommitter()
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	c := first(create(newID(), "dropped", ""))
	go func() { waiting <- b.Store.Commit(ctx, c) }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrOutcomeUnknown) || store.Retryable(err) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	hold.release()
	b.Commit(first(create(newID(), "later", "")))
	if n := b.Count(`SELECT count(*) FROM payments WHERE payment_id = $1`, c.Payment.ID); n != 0 {
		t.Error("a change was written although its caller had given up before its turn")
	}
}

func TestCallerOfATakenChangeDoesNotKnow(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	hold := b.holdCommitter()
	hold.cancel()
	if err := <-hold.answer; !errors.Is(err, store.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) || !store.Retryable(err) {
		t.Errorf("got %v, want ErrOutcomeUnknown and context.Canceled", err)
	}
	hold.unlock()
	b.Commit(first(create(newID(), "later", ""))) // the one committer is free again, so the first change is done
	if _, err := b.Store.Get(t.Context(), tenant, hold.payment); err != nil {
		t.Errorf("a change that was taken was not written: %v", err)
	}
}

func TestCloseAnswersEveryoneFirst(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	hold := b.holdCommitter()
	const n = 50
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- b.Store.Commit(t.Context(), first(create(newID(), fmt.Sprintf("k%d", i), ""))) }()
	}
	closed := make(chan struct{})
	go func() { b.Store.Close(); close(closed) }()
	hold.release()
	<-closed
	written := b.Count(`SELECT count(*) FROM payments`)
	for range n {
		switch err := <-errs; {
		case err == nil:
			written--
		case !errors.Is(err, store.ErrClosed):
			t.Errorf("got %v, want ErrClosed or nil", err)
		}
	}
	if written != 1 { // the one that held the committer
		t.Errorf("%d more payments are written than were reported", written-1)
	}
	if _, err := b.Store.Load(t.Context(), store.Key{PaymentID: newID(), Tenant: tenant}); !errors.Is(err, store.ErrClosed) || store.Retryable(err) {
		t.Errorf("load after close: %v, want ErrClosed", err)
	}
	b.Store.Close()
}

// commitTogether commits changes at one time, in one batch unless they collide; the store has one
// committer.
func (b *bundle) commitTogether(changes []store.Change) []error {
	b.Helper()
	hold := b.holdCommitter()
	errs := make([]error, len(changes))
	var waiting sync.WaitGroup
	for i, c := range changes {
		waiting.Go(func() { errs[i] = b.Store.Commit(b.Context(), c) })
	}
	hold.release()
	waiting.Wait()
	return errs
}

// held is a committer that is kept waiting for a row.
type held struct {
	b       *bundle
	payment [16]byte
	answer  chan error
	cancel  context.CancelFunc
	unlock  func()
}

// holdCommitter makes the store's only committer wait inside the database, so that what is
// committed next gathers.
func (b *bundle) holdCommitter() *held {
	b.Helper()
	blocker := b.Connect()
	cmd := create(newID(), "held-"+newID().String(), "")
	tx, err := blocker.Begin(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := tx.Exec(b.Context(), `INSERT INTO commands (tenant, command, idempotency_key, payload_hash, payment_id, version,
		operation_id, outcome) VALUES ($1, 'create', $2, $3, $4, 1, '', 'accepted')`,
		tenant, cmd.IdempotencyKey, cmd.PayloadHash[:], cmd.PaymentID[:]); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	h := &held{b: b, payment: cmd.PaymentID, answer: make(chan error, 1), cancel: cancel}
	h.unlock = func() {
		if err := tx.Rollback(b.Context()); err != nil {
			b.Error(err)
		}
	}
	go func() { h.answer <- b.Store.Commit(ctx, first(cmd)) }()
	b.awaitLockWaiter()
	return h
}

// release lets the committer go on, and waits until it has written its change.
func (h *held) release() {
	h.b.Helper()
	h.unlock()
	if err := <-h.answer; err != nil {
		h.b.Errorf("the held change: %v", err)
	}
}
