package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// TestPolicyLeavesNothingOut holds what serve decides by, with the configuration at its defaults, to the core's own defaults:
// what has no setting must not be zero by omission, such as how long a key may be used again.
func TestPolicyLeavesNothingOut(t *testing.T) {
	t.Parallel()
	got, want := policy(config.Default()), payment.DefaultPolicy()
	got.SentStale = want.SentStale // follows from worker.handle_timeout
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the policy of serve differs from the default (-default +serve):\n%s", diff)
	}
}
