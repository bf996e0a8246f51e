package simulator

import (
	"path/filepath"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// TestEventsBeyondTheRoomAreForgotten needs the inside: filling the room from outside takes
// thousands of events.
func TestEventsBeyondTheRoomAreForgotten(t *testing.T) {
	t.Parallel()
	m := &messenger{waiting: make(chan told, 1)}
	if m.tell([]protocol.Event{{ID: "evt_1"}}) == nil {
		t.Error("there was room, and it was not taken")
	}
	if m.tell([]protocol.Event{{ID: "evt_2"}}) != nil {
		t.Error("there was no room, and it was taken")
	}
}

// TestNothingIsDoneThatCannotBeKept needs the inside: the journal's file is closed under the
// simulator.
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
