package sim

import (
	"path/filepath"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
)

// TestNothingIsDoneThatCannotBeKept needs the inside: the journal's file is closed under the simulator.
func TestNothingIsDoneThatCannotBeKept(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Journal: filepath.Join(t.TempDir(), "ledger.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.journal.file.Close(); err != nil {
		t.Fatal(err)
	}
	op := gatewaytest.NewPayment().Charge("pm_card_visa", 1999)
	for range 2 {
		gatewaytest.Want(t, s.Do(t.Context(), op), messages.OutcomeUnknown)
	}
	gatewaytest.Want(t, s.Lookup(t.Context(), op), messages.OutcomeUnknown)
	if len(s.Ledger()) != 0 {
		t.Error("something was done that is not in the journal")
	}
	if err := s.Close(); err == nil {
		t.Error("closing says nothing of the journal")
	}
}

func FuzzCardOf(f *testing.F) {
	for _, seed := range []string{"pm_card_visa", "sim_slow_250", "sim_429_3@refund", "sim_wrong_amount", "sim__@", "sim_429_99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := cardOf(token)
		if err != nil {
			return
		}
		if c.fault.kind != faultNone && (c.fault.times < 1 || c.fault.times > faultTimesMax || c.fault.delay < 0 || c.fault.delay > slowMax) {
			t.Errorf("%q is %+v, out of its bounds", token, c.fault)
		}
	})
}
