package routing

import (
	"cmp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/seed-384b1f8a/tender/messages"
)

const (
	valueLengthMax       = 500
	metadataKeyLengthMax = 40
)

func (p *parser) match(node *yaml.Node) Match {
	var m Match
	var least, most *yaml.Node
	seen := p.fields(node, "match", map[string]func(*yaml.Node){
		"tenant":           func(n *yaml.Node) { m.Tenants = p.values(n, "tenant", validTenant) },
		"currency":         func(n *yaml.Node) { m.Currencies = p.values(n, "currency", validCurrency) },
		"country":          func(n *yaml.Node) { m.Countries = p.values(n, "country", validCountry) },
		"payment_method":   func(n *yaml.Node) { m.PaymentMethods = p.values(n, "payment_method", validMethod) },
		"amount_minor_min": func(n *yaml.Node) { least, m.AmountMinorMin = n, p.amount(n, "amount_minor_min") },
		"amount_minor_max": func(n *yaml.Node) { most, m.AmountMinorMax = n, p.amount(n, "amount_minor_max") },
		"metadata":         func(n *yaml.Node) { m.Metadata = p.metadata(n) },
	})
	if len(seen) == 0 && node.Kind == yaml.MappingNode {
		p.at(node, "match has no conditions: leave it out for a rule that takes every payment")
	}
	if least != nil && most != nil && m.AmountMinorMax > 0 && m.AmountMinorMin > m.AmountMinorMax {
		p.at(most, "amount_minor_max is below amount_minor_min (%d): no amount lies between them", m.AmountMinorMin)
	}
	if bound := cmp.Or(least, most); bound != nil {
		p.oneExponent(bound, m.Currencies)
	}
	return m
}

// oneExponent holds that an amount in minor units means something: 100 is one dollar and a hundred
// yen.
func (p *parser) oneExponent(bound *yaml.Node, currencies []string) {
	if len(currencies) == 0 {
		p.at(bound, "an amount needs a currency beside it: 100 minor units are 1.00 USD and 100 JPY")
		return
	}
	first, _ := messages.Exponent(currencies[0])
	for _, c := range currencies[1:] {
		if e, known := messages.Exponent(c); known && e != first {
			p.at(bound, "an amount needs currencies with the same minor unit, and %s and %s differ: write two rules", currencies[0], c)
			return
		}
	}
}

// amount reads a bound in minor units. Amounts are over 0, so a bound is too.
func (p *parser) amount(n *yaml.Node, key string) int64 {
	v, ok := p.whole(n, key)
	if ok && v <= 0 {
		p.at(n, "%s must be over 0, not %d", key, v)
		return 0
	}
	return v
}

// values reads one text, or a list of them, each different and each right.
func (p *parser) values(node *yaml.Node, key string, problem func(string) string) []string {
	items := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		items = p.list(node, key)
	}
	var all []string
	for _, item := range items {
		value, ok := p.text(item, key)
		if !ok {
			continue
		}
		if wrong := problem(value); wrong != "" {
			p.at(item, "%s: %s", key, wrong)
		}
		for _, before := range all {
			if before == value {
				p.at(item, "%s: %s is named twice", key, value)
				break
			}
		}
		all = append(all, value)
	}
	return all
}

func (p *parser) metadata(node *yaml.Node) map[string]string {
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
		p.at(node, "metadata must be keys with the values they must have, not %s", kindOf(node))
		return nil
	}
	wanted := map[string]string{}
	p.pairs(node, func(key, value *yaml.Node) {
		name, ok := p.text(key, "a key of metadata")
		if ok && len([]rune(name)) > metadataKeyLengthMax {
			p.at(key, "a key of metadata has at most %d characters", metadataKeyLengthMax)
		}
		if text, ok := p.text(value, "metadata "+shortened(name)); ok {
			wanted[name] = text
		}
	})
	return wanted
}

// A value that no payment can have is a mistake in a rule: it would quietly match nothing.

func validTenant(tenant string) string {
	if err := messages.ValidateTenant(tenant); err != nil {
		return err.Error()
	}
	return ""
}

func validCurrency(currency string) string {
	if _, known := messages.Exponent(currency); !known {
		return "must be an ISO 4217 code such as EUR, not " + quoted(currency)
	}
	return ""
}

func validCountry(country string) string {
	if len(country) != 2 || strings.Trim(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "must be two upper-case letters of ISO 3166, such as DE, not " + quoted(country)
	}
	return ""
}

func validMethod(method string) string {
	switch star := strings.IndexByte(method, '*'); {
	case method == "*":
		return "* alone is no condition: leave it out"
	case star >= 0 && star != len(method)-1:
		return "* may stand at the end only"
	case strings.ContainsFunc(method, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII || r == 0x7f }):
		return "must be of visible ASCII characters without spaces, as payment methods are"
	default:
		return ""
	}
}
