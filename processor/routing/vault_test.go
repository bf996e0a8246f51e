package routing_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/routing"
)

// apart are three gateways, of which two understand the same payment methods.
func apart() routing.Gateways {
	return routing.Gateways{"primary": "cards", "backup": "cards", "candidate": "candidate"}
}

// TestOursARuleThatFailsOverToForeignTokensIsRefused holds that a failover which would hand a
// gateway a payment method that it does not know is a mistake at load, with rule and gateways.
func TestOursARuleThatFailsOverToForeignTokensIsRefused(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"the only fallback":        "to: [{gateway: primary}], failover: {to: [candidate]}",
		"one of two":               "to: [{gateway: primary}], failover: {to: [backup, candidate]}",
		"from one of two":          "to: [{gateway: primary, weight: 1}, {gateway: candidate, weight: 1}], failover: {to: [primary]}",
		"after soft declines, too": "to: [{gateway: candidate}], failover: {to: [primary], on_decline: true}",
	} {
		_, err := routing.Parse([]byte("version: 1\nrules:\n  - {name: cards, "+rule+"}\n"), apart())
		if err == nil {
			t.Errorf("%s is taken", name)
			continue
		}
		for _, word := range []string{"line 3", "rule cards", "primary", "candidate", "gateways.<name>.tokens"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not name %s", name, err, word)
			}
		}
	}
	// Without tokens in common there is no failover by default, either.
	_, err := routing.Parse([]byte("version: 1\nrules:\n  - {name: cards, to: [{gateway: a}], failover: {to: [b]}}\n"), routing.Gateways{"a": "a", "b": "b"})
	if err == nil {
		t.Error("failover between gateways that share nothing is taken")
	}
}

// TestOursFailoverStaysAmongSharedTokens holds that no route ever leaves the vault of its first
// gateway.
func TestOursFailoverStaysAmongSharedTokens(t *testing.T) {
	t.Parallel()
	rules, err := routing.Parse([]byte(`version: 1
rules:
  - name: cards
    to: [{gateway: primary, weight: 2}, {gateway: candidate, weight: 3}, {gateway: backup, weight: 1}]
`), apart())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for range 200 {
		f := facts()
		f.PaymentID = uuid.New()
		route := rules.Route(f)
		got[route.Gateway] = route.Fallbacks
	}
	want := map[string][]string{"primary": {"backup"}, "backup": {"primary"}, "candidate": {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fallbacks (-want +got):\n%s", diff)
	}
	if warnings := strings.Join(rules.Warnings(), "\n"); !strings.Contains(warnings, "primary and candidate, which share no tokens") {
		t.Errorf("nothing warns of the mixture: %q", warnings)
	}
}
