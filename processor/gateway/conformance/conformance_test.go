package conformance_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

const testKey = "key"

// testCards are the simulator's, with one that is slow enough for a test.
func testCards() conformance.Cards {
	cards := conformance.SimulatorCards()
	cards.Slow, cards.Lapsing = "sim_slow_150", "sim_lapses_200"
	return cards
}

func newSimulator(t *testing.T) *simulator.Simulator {
	t.Helper()
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func overHTTP(t *testing.T, url, key string) *conformance.Target {
	t.Helper()
	target, err := conformance.OverHTTP(url, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	return target
}

func TestTheSimulatorKeepsEveryRule(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"with a key": testKey, "open": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(newSimulator(t).Handler(key))
			t.Cleanup(server.Close)
			var heard []conformance.Result
			report, err := conformance.Run(t.Context(), overHTTP(t, server.URL, key), conformance.Options{
				Cards: testCards(), Currency: "EUR", OnResult: func(r conformance.Result) { heard = append(heard, r) },
			})
			if err != nil {
				t.Fatal(err)
			}
			leftOut := 6 // those over NATS, about webhooks and about a restart
			if key == "" {
				leftOut++
			}
			if report.Breaches() != 0 || report.LeftOut() != leftOut || report.Kept() != len(conformance.Rules())-leftOut {
				t.Errorf("%d broken, %d kept, %d left out: %+v", report.Breaches(), report.Kept(), report.LeftOut(), report)
			}
			if diff := cmp.Diff(report.Results, heard); diff != "" {
				t.Errorf("what was heard differs from the report:\n%s", diff)
			}
		})
	}
}

func TestCardsThatAreNotNamedLeaveRulesOut(t *testing.T) {
	t.Parallel()
	report, err := conformance.Run(t.Context(), &conformance.Target{Gateway: newSimulator(t)}, conformance.Options{
		Cards: conformance.Cards{Approved: "pm_card_visa"},
	})
	if err != nil || report.Breaches() != 0 {
		t.Fatalf("%v, %+v", err, report)
	}
	want := []string{
		"race-confirm", "lookup-in-progress", "lapsed-not-captured", "decline-stable", "challenge-confirmed", "next-action-usable",
		"slow-request", "invalid-body", "duplicate-fields", "required-fields", "unknown-field", "content-type", "credentials", "health",
		"operation-of-its-subject", "deadline-passed", "webhook-signed", "webhook-tells", "webhook-repeated", "replies-as-described",
		"restart-remembers",
	}
	got := []string{}
	for _, r := range report.Results {
		if r.Verdict == conformance.LeftOut {
			got = append(got, r.Rule)
			if r.Reason == "" {
				t.Errorf("%s is left out without a reason", r.Rule)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestRulesAreNamed(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, r := range conformance.Rules() {
		if seen[r.Name] || r.Demand == "" || strings.ContainsAny(r.Name, " _.") || strings.ToLower(r.Name) != r.Name {
			t.Errorf("rule %q demands %q", r.Name, r.Demand)
		}
		seen[r.Name] = true
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newSimulator(t).Handler(""))
	target := overHTTP(t, server.URL, "")
	_, err := conformance.Run(t.Context(), target, conformance.Options{Rules: []string{"health", "politeness"}})
	if !errors.Is(err, conformance.ErrUnknownRule) || !strings.Contains(err.Error(), "politeness") {
		t.Errorf("a rule that does not exist: %v", err)
	}
	if _, err := conformance.Run(t.Context(), target, conformance.Options{Cards: conformance.Cards{Slow: "x"}}); !errors.Is(err, conformance.ErrNoCard) {
		t.Errorf("no approved card: %v", err)
	}
	guarded := httptest.NewServer(newSimulator(t).Handler(testKey))
	t.Cleanup(guarded.Close)
	for _, key := range []string{"", "wrong"} {
		if _, err := conformance.Run(t.Context(), overHTTP(t, guarded.URL, key), conformance.Options{}); !errors.Is(err, conformance.ErrUnauthorized) {
			t.Errorf("with the key %q: %v", key, err)
		}
	}
	server.Close()
	if _, err := conformance.Run(t.Context(), target, conformance.Options{}); !errors.Is(err, conformance.ErrUnreachable) {
		t.Errorf("no server: %v", err)
	}
	nc := servers.NATS(t).Connect(t)
	absent, err := conformance.OverNATS(nc, "absent")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conformance.Run(t.Context(), absent, conformance.Options{}); !errors.Is(err, conformance.ErrUnreachable) {
		t.Errorf("no connector: %v", err)
	}
	if _, err := conformance.OverNATS(nc, "a.b"); err == nil {
		t.Error("a connector of two tokens is taken")
	}
	if _, err := conformance.OverHTTP("ftp://bank", ""); err == nil {
		t.Error("an address that is not HTTP is taken")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	report, err := conformance.Run(ctx, &conformance.Target{Gateway: newSimulator(t)}, conformance.Options{
		OnResult: func(conformance.Result) { cancel() },
	})
	if !errors.Is(err, context.Canceled) || len(report.Results) != 1 {
		t.Errorf("%d results and %v, want one and that it was canceled", len(report.Results), err)
	}
}

func TestRunOneRule(t *testing.T) {
	t.Parallel()
	report, err := conformance.Run(t.Context(), &conformance.Target{Gateway: newSimulator(t)}, conformance.Options{Rules: []string{"partial-refunds", "charge-succeeds"}})
	if err != nil || len(report.Results) != 2 || report.Results[0].Rule != "charge-succeeds" {
		t.Errorf("%v, %+v", err, report)
	}
}

// panics is a gateway with a defect.
type panics struct{}

func (panics) Do(context.Context, messages.Operation) messages.Outcome     { panic("defect") }
func (panics) Lookup(context.Context, messages.Operation) messages.Outcome { panic("defect") }

func TestAGatewayThatPanicsBreaksTheRules(t *testing.T) {
	t.Parallel()
	report, err := conformance.Run(t.Context(), &conformance.Target{Gateway: panics{}}, conformance.Options{Cards: testCards()})
	if err != nil || report.Kept() != 0 {
		t.Fatalf("%v, %+v", err, report)
	}
	for _, r := range report.Results {
		if r.Verdict == conformance.Fail && !strings.Contains(r.Reason, "panicked: defect") {
			t.Errorf("%s: %s", r.Rule, r.Reason)
		}
	}
}

func TestEvidenceTellsWhatHappened(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(spoil(insteadOf("amount_exceeds_authorized"), newSimulator(t).Handler("")))
	t.Cleanup(server.Close)
	report, err := conformance.Run(t.Context(), overHTTP(t, server.URL, ""), conformance.Options{Rules: []string{"over-capture-refused"}})
	if err != nil || len(report.Results) != 1 {
		t.Fatal(err, report)
	}
	r := report.Results[0]
	if !strings.Contains(r.Reason, "of 1001 USD") || !strings.Contains(r.Reason, "want declined, got succeeded") {
		t.Errorf("the reason is %q", r.Reason)
	}
	if len(r.Evidence) != 2 || !slices.ContainsFunc(r.Evidence, func(s string) bool {
		return strings.HasPrefix(s, "authorize ") && strings.Contains(s, "of 1000 USD with pm_card_visa: succeeded as auth_")
	}) {
		t.Errorf("the evidence is %q", r.Evidence)
	}
}
