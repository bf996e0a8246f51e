package gateway

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Set is the configured gateways by name. It does not change, and may be used concurrently.
type Set struct {
	byName map[string]*Guard
}

// NewSet returns a set of the gateways. It fails when two have the same name.
func NewSet(guards ...*Guard) (*Set, error) {
	s := &Set{byName: make(map[string]*Guard, len(guards))}
	for _, g := range guards {
		if _, taken := s.byName[g.Name()]; taken {
			return nil, fmt.Errorf("collect gateways: two are named %s", g.Name())
		}
		s.byName[g.Name()] = g
	}
	return s, nil
}

// Get returns the gateway of that name, false if there is none.
func (s *Set) Get(name string) (*Guard, bool) {
	g, ok := s.byName[name]
	return g, ok
}

// Names returns the names of all gateways in alphabetical order.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Facts are what a route may be chosen by.
type Facts struct {
	Tenant        string
	AmountMinor   int64
	Currency      string
	Country       string
	PaymentMethod string
}

// Choice is the gateway for a payment, and the rule that chose it.
type Choice struct {
	Gateway string
	Rule    string
	// Fallbacks are tried in this order when an authorization provably did not reach the gateway before, and with
	// FailoverOnDecline also after a soft decline.
	Fallbacks         []string
	FailoverOnDecline bool
}

// RuleDefault is the rule that sends every payment to the one configured gateway.
const RuleDefault = "default"

// Router chooses a gateway for a new authorization. The same facts lead to the same choice. The zero Router has no route.
type Router struct {
	gateway string
}

// NewRouter returns a router that sends every payment to the gateway of that name. It fails when the set has none of that name.
func NewRouter(s *Set, gateway string) (Router, error) {
	if gateway == "" {
		return Router{}, errors.New("route payments: no default gateway is named")
	}
	if _, ok := s.Get(gateway); !ok {
		return Router{}, fmt.Errorf("route payments: there is no gateway %s, only %v", gateway, s.Names())
	}
	return Router{gateway: gateway}, nil
}

// Route chooses the gateway for a payment, false if no rule has one for it.
func (r Router) Route(Facts) (Choice, bool) {
	if r.gateway == "" {
		return Choice{}, false
	}
	return Choice{Gateway: r.gateway, Rule: RuleDefault}, true
}
