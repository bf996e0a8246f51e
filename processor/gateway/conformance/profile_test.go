package conformance_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
)

// TestOursEveryProfileConforms: a server that answers 202 failed 21 of 27 rules, though the
// protocol allows it. Nothing is left out here but the rules of the other transport.
func TestOursEveryProfileConforms(t *testing.T) {
	t.Parallel()
	for name, approved := range map[string]string{"at once": "pm_card_visa", "later": "sim_async", "refunds later": "pm_card_pendingRefund"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := broken(t, defect{})
			u.options.Cards.Approved = approved
			report, err := conformance.Run(t.Context(), u.target, u.options)
			if err != nil {
				t.Fatal(err)
			}
			var leftOut []string
			for _, r := range report.Results {
				switch r.Verdict {
				case conformance.Fail:
					t.Errorf("%s: %s\n%s", r.Rule, r.Reason, strings.Join(r.Evidence, "\n"))
				case conformance.LeftOut:
					leftOut = append(leftOut, r.Rule)
				case conformance.Pass:
				}
			}
			if diff := cmp.Diff([]string{"operation-of-its-subject", "deadline-passed"}, leftOut); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

// The marks around the table in the README.
const (
	tableBegins = "| deliberate breach | rule that finds it |\n| --- | --- |\n"
	readme      = "../README.md"
)

// TestOursTheReadmeListsTheBreaches holds the table in the README to the servers that are tried.
func TestOursTheReadmeListsTheBreaches(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), tableBegins)
	if !found {
		t.Fatalf("%s has no table of breaches", readme)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, b := range breaches() {
		want = append(want, "| "+b.name+" | `"+b.breaks[0]+"` |")
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(table), "\n")); diff != "" {
		t.Errorf("%s (-servers +table):\n%s", readme, diff)
	}
	if len(want) < 27 {
		t.Errorf("%d breaches are tried, want 27 or more", len(want))
	}
}

// TestOursEveryRuleHasABreach holds that there is a server that breaks each rule that can be
// checked over HTTP, so that no rule lets everything pass.
func TestOursEveryRuleHasABreach(t *testing.T) {
	t.Parallel()
	overNATS := []string{"operation-of-its-subject", "deadline-passed"} // TestBrokenConnectorsFailTheRightLines
	// A server that asks for no key is beside the table, and a gateway that panics breaks
	// canceled-call.
	elsewhere := []string{"credentials", "canceled-call"}
	for _, rule := range conformance.Rules() {
		if slices.Contains(overNATS, rule.Name) || slices.Contains(elsewhere, rule.Name) {
			continue
		}
		if !slices.ContainsFunc(breaches(), func(b breach) bool { return slices.Contains(b.breaks, rule.Name) }) {
			t.Errorf("no server breaks %s", rule.Name)
		}
	}
}
