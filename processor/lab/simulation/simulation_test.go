package simulation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/processor/lab/simulation"
)

// TestSimulation runs some hundred seeds. `tenderlab simulate` runs more, and replays one.
func TestSimulation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		replay(t, seed)
	}
}

// replay runs a seed, and shows the end of its trace if there is a finding.
func replay(t *testing.T, seed uint64) simulation.Result {
	t.Helper()
	r, err := simulation.Run(seed, simulation.Options{})
	if err == nil {
		return r
	}
	var lines []string
	_, again := simulation.Run(seed, simulation.Options{Trace: func(line string) { lines = append(lines, line) }})
	if !errors.Is(again, err) && again.Error() != err.Error() {
		t.Errorf("seed %d gives another finding when it is run again: %v", seed, again)
	}
	for _, line := range lines[max(0, len(lines)-60):] {
		t.Log(line)
	}
	t.Fatalf("%v", err)
	return r
}

// TestSimulationIsRepeatable runs seeds twice: the effects, the commits and the traces are the
// same.
func TestSimulationIsRepeatable(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		var traces [2]strings.Builder
		var results [2]simulation.Result
		for i := range 2 {
			var err error
			results[i], err = simulation.Run(seed, simulation.Options{Trace: func(line string) { traces[i].WriteString(line + "\n") }})
			if err != nil {
				t.Fatal(err)
			}
		}
		silent, err := simulation.Run(seed, simulation.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(results[0], results[1]); diff != "" || results[0].Hash != silent.Hash {
			t.Fatalf("seed %d differs from itself:\n%s", seed, diff)
		}
		if diff := cmp.Diff(traces[0].String(), traces[1].String()); diff != "" {
			t.Fatalf("seed %d leaves two traces:\n%s", seed, diff)
		}
	}
}

// TestSimulationDoesEverything wants the behaviours that bugs hide in to happen in a few hundred
// seeds.
func TestSimulationDoesEverything(t *testing.T) {
	t.Parallel()
	figures := map[string]int{}
	for seed := range uint64(1000) {
		for name, n := range replay(t, seed).Figures {
			figures[name] += n
		}
	}
	for _, name := range []string{
		"captures by other means", "commits of unknown outcome", "compensations", "crashes", "dead letters", "declines that went through",
		"dispute.lost", "dispute.won", "duplicates", "forgotten keys", "greater amounts", "lost acknowledgements", "operation.closed",
		"partial amounts", "pauses", "payment.capture_reversed", "payment.compensated", "payment.expired", "pending operations",
		"redeliveries", "resolves", "restorations", "review amount_mismatch", "review contradiction", "review outcome_unknown",
		"review processing_overdue", "review reversal", "review void_refused", "rests captured", "rests expired", "rests failed",
		"rests partially_refunded", "rests refunded", "rests requires_payment_method", "rests voided", "sweeps", "unparked",
	} {
		if figures[name] == 0 {
			t.Errorf("%q did not happen", name)
		}
	}
}
