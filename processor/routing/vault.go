package routing

import (
	"fmt"
	"maps"
	"slices"
)

// Gateways are the configured gateways by name, each with the vault whose tokens it understands. A
// payment method is a token of one vault: a gateway of another one knows no such payment method,
// and answers that the request is invalid. So failover stays within a vault.
type Gateways map[string]string

// SharedVault returns gateways of these names that all understand the same tokens.
func SharedVault(names ...string) Gateways {
	all := make(Gateways, len(names))
	for _, name := range names {
		all[name] = "shared"
	}
	return all
}

// Names lists the gateways in alphabetical order.
func (g Gateways) Names() []string { return slices.Sorted(maps.Keys(g)) }

// share reports whether one gateway understands the tokens of the other.
func (g Gateways) share(one, other string) bool { return g[one] == g[other] }

// strangers returns the first gateway of a rule and the failover target that cannot take over its
// payments; false if there are none.
func (g Gateways) strangers(r *Rule) (from, to string, found bool) {
	for _, t := range r.To {
		for _, name := range r.Failover.To {
			if t.Weight > 0 && !g.share(t.Gateway, name) {
				return t.Gateway, name, true
			}
		}
	}
	return "", "", false
}

// checkFailover refuses a rule that names a gateway to fail over to which does not understand the
// payment methods of the one before.
func (p *parser) checkFailover(r *Rule) {
	if from, to, found := p.gateways.strangers(r); found {
		p.found = append(p.found, Mistake{Line: r.Line, Problem: fmt.Sprintf(
			"rule %s fails over from %s to %s, which share no tokens (vaults %s and %s): %s would know no payment method of %s. "+
				"If they do share them, give both the same gateways.<name>.tokens",
			r.Name, from, to, p.gateways[from], p.gateways[to], to, from)})
	}
}

// mixed warns of a rule that shares one kind of payments out among gateways of several vaults.
func (g Gateways) mixed(r *Rule) string {
	first := ""
	for _, t := range r.To {
		switch {
		case t.Weight == 0:
		case first == "":
			first = t.Gateway
		case !g.share(first, t.Gateway):
			return fmt.Sprintf("rule %s shares its payments out among %s and %s, which share no tokens: "+
				"each payment method is known to one of them only, and there is no failover between them", r.Name, first, t.Gateway)
		}
	}
	return ""
}
