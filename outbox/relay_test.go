package outbox_test

import (
	"testing"
)

func TestRelayKeepsTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(events(40, 10)...)
	b.relay(quick())
	b.append(event("late", 1))
	b.drained()
	msgs := b.messages("PAYMENTS")
	if len(msgs) != 401 {
		t.Fatalf("%d messages", len(msgs))
	}
}
