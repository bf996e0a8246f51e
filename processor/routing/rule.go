package routing

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Facts are the values that a rule may match on, and the id by which weights are shared out.
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
	// Match holds the conditions on a payment; its zero value takes every payment.
	Match Match `json:"match,omitzero"`
	// To holds at least one gateway with a weight over 0.
	To       []Target `json:"to"`
	Failover Failover `json:"failover,omitzero"`

	// total is the sum of the weights, and routes the result of choosing each of To.
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

// Failover names the gateways to turn to when it is proven that a payment did not reach the one
// before.
type Failover struct {
	// To is tried in order; nil is the other gateways of the rule that are not drained and share
	// their tokens with the one before, the heaviest first.
	To []string `json:"to"`
	// OnDecline turns to them after a soft decline as well.
	OnDecline bool `json:"on_decline,omitempty"`
}

// IsZero reports whether nothing was said about failover. An empty list says something.
func (f Failover) IsZero() bool { return f.To == nil && !f.OnDecline }

// RuleDefault is the name of the rule of [To].
const RuleDefault = "default"

// Rules is a set of rules. It does not change and may be used concurrently. Its zero value, and
// nil, route nothing.
type Rules struct {
	rules    []Rule
	warnings []string
}

// To returns the set with the one rule, named default, that sends every payment to this gateway.
func To(gateway string) *Rules {
	r := Rule{Name: RuleDefault, To: []Target{{Gateway: gateway, Weight: 1}}}
	r.prepare(Gateways{gateway: gateway})
	return &Rules{rules: []Rule{r}}
}

// All returns the rules in order. They are not to be changed.
func (s *Rules) All() []Rule {
	if s == nil {
		return nil
	}
	return s.rules
}

// Warnings names rules that are allowed and probably not meant.
func (s *Rules) Warnings() []string {
	if s == nil {
		return nil
	}
	return s.warnings
}

// prepare works out each choice beforehand, so that routing a payment allocates nothing for it.
func (r *Rule) prepare(gateways Gateways) {
	r.total, r.routes = 0, make([]payment.Route, len(r.To))
	for i, t := range r.To {
		r.total += t.Weight
		r.routes[i] = payment.Route{
			Gateway: t.Gateway, Rule: r.Name, Fallbacks: r.fallbacks(t.Gateway, gateways), FailoverOnDecline: r.Failover.OnDecline,
		}
	}
}

// Route chooses the gateway for a payment by the first rule that matches it; the zero Route if none
// does. The same facts under the same rule always lead to the same choice. It takes no lock.
//
// The choice among weighted gateways is part of what this package promises. The first eight bytes
// of SHA-256 over the payment id (16 bytes) and the rule's name are a fraction of 2^64; multiplied
// by the sum of the weights it is a point, and the gateways share the points in the order in which
// they are listed.
func (s *Rules) Route(f Facts) payment.Route {
	if s == nil {
		return payment.Route{}
	}
	for i := range s.rules {
		if r := &s.rules[i]; r.Match.mismatch(&f) == "" {
			return r.routes[r.choose(f.PaymentID)]
		}
	}
	return payment.Route{}
}

// choose returns the index of the payment's gateway.
func (r *Rule) choose(id uuid.UUID) int {
	at := point(id, r.Name, r.total)
	for i, t := range r.To {
		if at -= t.Weight; at < 0 {
			return i
		}
	}
	panic("routing: a point outside of the sum of the weights")
}

// point is where a payment falls between 0 and total, total excluded.
func point(id uuid.UUID, rule string, total int64) int64 {
	sum := sha256.Sum256(append(id[:], rule...))
	at, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:8]), uint64(total)) //nolint:gosec // a sum of bounded weights, over 0
	return int64(at)                                                     //nolint:gosec // below total
}

// fallbacks lists the gateways to turn to from the chosen one. None of them is of another vault.
func (r *Rule) fallbacks(chosen string, gateways Gateways) []string {
	useless := func(name string) bool { return name == chosen || !gateways.share(name, chosen) }
	if r.Failover.To != nil {
		return slices.DeleteFunc(slices.Clone(r.Failover.To), useless)
	}
	var others []Target
	for _, t := range r.To {
		if t.Weight > 0 && !useless(t.Gateway) {
			others = append(others, t)
		}
	}
	slices.SortStableFunc(others, func(a, b Target) int { return cmp.Compare(b.Weight, a.Weight) })
	names := make([]string, 0, len(others))
	for _, t := range others {
		names = append(names, t.Gateway)
	}
	return names
}

// condition names one of the conditions of a Match, as its key in the document.
type condition string

const (
	conditionTenant        condition = "tenant"
	conditionCurrency      condition = "currency"
	conditionAmountMin     condition = "amount_minor_min"
	conditionAmountMax     condition = "amount_minor_max"
	conditionPaymentMethod condition = "payment_method"
	conditionCountry       condition = "country"
	conditionMetadata      condition = "metadata"
)

// mismatch returns the first condition that does not hold; "" if all do.
func (m *Match) mismatch(f *Facts) condition {
	switch {
	case !anyOf(m.Tenants, f.Tenant):
		return conditionTenant
	case !anyOf(m.Currencies, f.Currency):
		return conditionCurrency
	case f.AmountMinor < m.AmountMinorMin:
		return conditionAmountMin
	case m.AmountMinorMax != 0 && f.AmountMinor > m.AmountMinorMax:
		return conditionAmountMax
	case !anyLike(m.PaymentMethods, f.PaymentMethod):
		return conditionPaymentMethod
	case !anyOf(m.Countries, f.Country):
		return conditionCountry
	}
	for key, want := range m.Metadata {
		if have, there := f.Metadata[key]; !there || have != want {
			return conditionMetadata
		}
	}
	return ""
}

func anyOf(wanted []string, have string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, have)
}

func anyLike(patterns []string, have string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return like(p, have) })
}

// like reports whether a pattern takes a text, or everything that another pattern takes.
func like(pattern, text string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(text, prefix)
	}
	return pattern == text
}

// covers reports whether every payment that other matches is matched by m, so that a later rule
// with other is never reached.
func (m *Match) covers(other *Match) bool {
	for key, want := range m.Metadata {
		if have, there := other.Metadata[key]; !there || have != want {
			return false
		}
	}
	all := func(wider, narrower []string, holds func(pattern, text string) bool) bool {
		if len(wider) == 0 {
			return true
		}
		return len(narrower) > 0 && !slices.ContainsFunc(narrower, func(text string) bool {
			return !slices.ContainsFunc(wider, func(pattern string) bool { return holds(pattern, text) })
		})
	}
	equal := func(a, b string) bool { return a == b }
	return all(m.Tenants, other.Tenants, equal) &&
		all(m.Currencies, other.Currencies, equal) &&
		all(m.Countries, other.Countries, equal) &&
		all(m.PaymentMethods, other.PaymentMethods, like) &&
		m.AmountMinorMin <= max(other.AmountMinorMin, 1) &&
		(m.AmountMinorMax == 0 || other.AmountMinorMax != 0 && other.AmountMinorMax <= m.AmountMinorMax)
}
