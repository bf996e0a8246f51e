package store_test

import (
	"errors"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// A database that was failed over to a standby without its latest commits has lost payments that
// workers still hold. A change that was decided on a lost payment must not be written: its history
// would begin in the middle.
func TestOursCommitOntoAVanishedRowIsAConflict(t *testing.T) {
	t.Parallel()
	b := setupWith(t, store.Config{Committers: 1})
	held := first(create(newID(), "held", messages.CaptureManual))
	b.Commit(held)
	capture := command(held.Payment.ID, "capture", &messages.Capture{})
	d := payment.Decide(held.Payment, capture, env(start()))
	late := change(held.Payment, d, claimOf(capture, d))
	b.Unprotect()
	for _, table := range []string{"payments", "payment_events", "commands", "timers", "outbox"} {
		b.Exec(`DELETE FROM ` + table)
	}

	errs := b.commitTogether([]store.Change{first(create(newID(), "beside", "")), late})
	if errs[0] != nil {
		t.Errorf("the neighbour of a change onto a vanished row: %v", errs[0])
	}
	if !errors.Is(errs[1], store.ErrVersionConflict) {
		t.Errorf("a change onto a vanished row: %v, want ErrVersionConflict", errs[1])
	}
	loaded, err := b.Store.Load(t.Context(), keyOf(capture))
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Payment.Version != 0 || loaded.Claim != nil {
		t.Errorf("the vanished payment is at version %d, its key claimed: %v; want nothing", loaded.Payment.Version, loaded.Claim != nil)
	}
	b.WantClean()

	// The create that is delivered again makes the payment anew.
	b.Commit(first(create(held.Payment.ID, "held", messages.CaptureManual)))
	b.WantClean()
}

// The other half of the rule: version 0 only inserts, however far the row has come.
func TestOursCommitOfANewPaymentNeverOverwrites(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := first(create(newID(), "k1", messages.CaptureManual))
	b.Commit(c)
	again := first(create(c.Payment.ID, "k2", messages.CaptureManual))
	if err := b.Store.Commit(t.Context(), again); !errors.Is(err, store.ErrVersionConflict) {
		t.Errorf("a second create of a payment: %v, want ErrVersionConflict", err)
	}
	b.WantClean()
}
