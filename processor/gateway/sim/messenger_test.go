package sim

import (
	"testing"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// TestEventsBeyondTheRoomAreForgotten needs the inside: filling the room from outside takes thousands of events.
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
