package gateway

import (
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
