package routing

import (
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Facts are what a rule may match on, and the id that weights are shared out by.
type Facts struct {
	PaymentID     uuid.UUID         `json:"payment_id"`
	Tenant        string            `json:"tenant"`
	AmountMinor   int64             `json:"amount_minor"`
	Currency      string            `json:"currency"`
	Country       string            `json:"country,omitempty"`
	PaymentMethod string            `json:"payment_method"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

// Rule sends the payments that it matches to one of its gateways.
type Rule struct {
	Name string `json:"name"`
	// Line is where the rule begins in its document; 0 if it was not read from one.
	Line int `json:"line,omitempty"`
	// Match is what a payment must be like; its zero value takes every payment.
	Match Match `json:"match,omitzero"`
	// To holds at least one gateway with a weight over 0.
	To       []Target `json:"to"`
	Failover Failover `json:"failover,omitzero"`

	// total is the sum of the weights, and routes what follows from the choice of each of To.
	total  int64
	routes []payment.Route
}

// Match is a set of conditions, all of which must hold. An empty one always does.
type Match struct {
	// Of each list, one entry must be the payment's.
	Tenants    []string `json:"tenant,omitempty"`
	Currencies []string `json:"currency,omitempty"`
	Countries  []string `json:"country,omitempty"`
	// PaymentMethods may end in *, which stands for any rest.
	PaymentMethods []string `json:"payment_method,omitempty"`
	// AmountMinorMin and AmountMinorMax are in minor units, both included; 0 is no bound.
	AmountMinorMin int64 `json:"amount_minor_min,omitempty"`
	AmountMinorMax int64 `json:"amount_minor_max,omitempty"`
	// Metadata must be there with exactly these values; the payment may have more.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Target is one gateway of a rule.
type Target struct {
	Gateway string `json:"gateway"`
	// Weight is its share of the sum of all weights; 0 is drained.
	Weight int64 `json:"weight"`
}

// Failover names the gateways to turn to when it is proven that a payment did not reach the one before.
type Failover struct {
	// To is tried in order; nil is the other gateways of the rule that are not drained, the heaviest first.
	To []string `json:"to"`
	// OnDecline turns to them after a soft decline as well.
	OnDecline bool `json:"on_decline,omitempty"`
}

// IsZero reports whether nothing was said about failover. An empty list says something.
func (f Failover) IsZero() bool { return f.To == nil && !f.OnDecline }

// RuleDefault is the name of the rule of [To].
const RuleDefault = "default"

// Rules is a set of rules. It does not change and may be used concurrently. Its zero value, and nil, route nothing.
type Rules struct {
	rules    []Rule
	warnings []string
}

// To returns the set with the one rule, named default, that sends every payment to this gateway.
func To(gateway string) *Rules {
	r := Rule{Name: RuleDefault, To: []Target{{Gateway: gateway, Weight: 1}}}
	r.prepare()
	return &Rules{rules: []Rule{r}}
}

// All returns the rules in order. They are not to be changed.
func (s *Rules) All() []Rule {
	if s == nil {
		return nil
	}
	return s.rules
}

// Warnings are what is allowed and probably not meant.
func (s *Rules) Warnings() []string {
	if s == nil {
		return nil
	}
	return s.warnings
}

// prepare works out beforehand what a choice means, so that routing a payment allocates nothing for it.
func (r *Rule) prepare() {
	r.total, r.routes = 0, make([]payment.Route, len(r.To))
	for i, t := range r.To {
		r.total += t.Weight
		r.routes[i] = payment.Route{
			Gateway: t.Gateway, Rule: r.Name, Fallbacks: r.fallbacks(t.Gateway), FailoverOnDecline: r.Failover.OnDecline,
		}
	}
}
