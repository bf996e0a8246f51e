package routing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Explanation is the gateway that [Rules.Route] would choose for a payment, and why.
type Explanation struct {
	Facts Facts `json:"facts"`
	// Rules are all rules of the set, in order.
	Rules []RuleResult `json:"rules"`
	// Route is the choice; its zero value if no rule matched.
	Route payment.Route `json:"-"`
	// Point is where the payment fell among the Shares, counted from 0.
	Point  int64   `json:"point"`
	Shares []Share `json:"shares,omitempty"`
}

// RuleResult is the result of one rule.
type RuleResult struct {
	Rule    string `json:"rule"`
	Line    int    `json:"line,omitempty"`
	Matched bool   `json:"matched"`
	// Reason is the first condition that did not hold, or that the rule was not reached; "" if it
	// matched.
	Reason string `json:"reason,omitempty"`
}

// Share is the part of the points that belongs to one gateway.
type Share struct {
	Target
	// From is its first point and Until the one after its last.
	From  int64 `json:"from"`
	Until int64 `json:"until"`
}

// Explain returns the choice that Route would make for a payment, and why.
func (s *Rules) Explain(f Facts) Explanation {
	e := Explanation{Facts: f, Rules: []RuleResult{}}
	for _, r := range s.All() {
		result := RuleResult{Rule: r.Name, Line: r.Line}
		failed := r.Match.mismatch(&f)
		switch {
		case e.Route.Gateway != "":
			result.Reason = "not reached: rule " + e.Route.Rule + " matched before"
		case failed != "":
			result.Reason = r.Match.describe(failed, f)
		default:
			result.Matched = true
			e.Route, e.Point = r.routes[r.choose(f.PaymentID)], point(f.PaymentID, r.Name, r.total)
			e.Shares = r.shares()
		}
		e.Rules = append(e.Rules, result)
	}
	return e
}

func (r *Rule) shares() []Share {
	shares := make([]Share, 0, len(r.To))
	var from int64
	for _, t := range r.To {
		shares = append(shares, Share{Target: t, From: from, Until: from + t.Weight})
		from += t.Weight
	}
	return shares
}

// describe says why a condition does not hold.
func (m *Match) describe(failed condition, f Facts) string {
	not := func(have string, wanted []string) string {
		return fmt.Sprintf("%s is %s, not %s", failed, orNone(have), strings.Join(wanted, " or "))
	}
	switch failed {
	case conditionTenant:
		return not(f.Tenant, m.Tenants)
	case conditionCurrency:
		return not(f.Currency, m.Currencies)
	case conditionAmountMin:
		return fmt.Sprintf("amount is %d, below %d", f.AmountMinor, m.AmountMinorMin)
	case conditionAmountMax:
		return fmt.Sprintf("amount is %d, above %d", f.AmountMinor, m.AmountMinorMax)
	case conditionPaymentMethod:
		return not(f.PaymentMethod, m.PaymentMethods)
	case conditionCountry:
		return not(f.Country, m.Countries)
	case conditionMetadata:
		for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
			if have, there := f.Metadata[key]; !there || have != m.Metadata[key] {
				return fmt.Sprintf("metadata %s is %s, not %s", key, orNone(have), m.Metadata[key])
			}
		}
	}
	panic("routing: nothing to say about the condition " + string(failed))
}

func orNone(s string) string {
	if s == "" {
		return "not given"
	}
	return s
}

// Conditions lists the conditions for people; empty if there are none.
func (m *Match) Conditions() []string {
	var all []string
	list := func(c condition, wanted []string) {
		if len(wanted) > 0 {
			all = append(all, string(c)+" "+strings.Join(wanted, " or "))
		}
	}
	list(conditionTenant, m.Tenants)
	list(conditionCurrency, m.Currencies)
	if m.AmountMinorMin != 0 {
		all = append(all, fmt.Sprintf("amount from %d", m.AmountMinorMin))
	}
	if m.AmountMinorMax != 0 {
		all = append(all, fmt.Sprintf("amount to %d", m.AmountMinorMax))
	}
	list(conditionPaymentMethod, m.PaymentMethods)
	list(conditionCountry, m.Countries)
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		all = append(all, "metadata "+key+"="+m.Metadata[key])
	}
	return all
}
