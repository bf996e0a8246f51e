package gatewaytest

import (
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
)

// Cards are the payment methods that a gateway under test knows. An empty one leaves its rules out.
type Cards = conformance.Cards

// Conformance checks every rule of package conformance that can be seen through a Gateway, each as
// a test of its own. Every gateway that open returns may be the same one; it is called once for
// each rule.
func Conformance(t *testing.T, cards Cards, open func(t *testing.T) gateway.Gateway) {
	t.Helper()
	for _, rule := range conformance.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			target := &conformance.Target{Gateway: open(t)}
			report, err := conformance.Run(t.Context(), target, conformance.Options{Cards: cards, Rules: []string{rule.Name}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range report.Results {
				if r.Verdict == conformance.Fail {
					t.Errorf("%s: %s\n%s", r.Demand, r.Reason, strings.Join(r.Evidence, "\n"))
				}
			}
		})
	}
}

// Want ends the test unless the outcome is of that kind.
func Want(t testing.TB, o messages.Outcome, kind messages.OutcomeKind) {
	t.Helper()
	if o.Kind != kind {
		t.Fatalf("outcome is %s (%s, decline %+v), want %s", o.Kind, o.Detail, o.Decline, kind)
	}
}

// WantDecline ends the test unless the outcome is a decline that says why.
func WantDecline(t testing.TB, o messages.Outcome) {
	t.Helper()
	Want(t, o, messages.OutcomeDeclined)
	if o.Decline == nil || o.Decline.Code == "" || o.Decline.Class == "" {
		t.Fatalf("declined without saying why: %+v", o.Decline)
	}
}
