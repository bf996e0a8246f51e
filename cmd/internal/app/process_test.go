package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// TestPolicyLeavesNothingOut compares the policy of serve, with the configuration at its defaults,
// with the core's own default: a field without a setting must not be zero by omission.
func TestPolicyLeavesNothingOut(t *testing.T) {
	t.Parallel()
	got, want := policy(config.Default()), payment.DefaultPolicy()
	got.SentStale = want.SentStale // follows from worker.handle_timeout
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the policy of serve differs from the default (-default +serve):\n%s", diff)
	}
}
