package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-384b1f8a/tender/messages"
)

// Gateway is one external payment gateway, or its stand-in. Implementations are safe for
// concurrent use, honour the context's deadline, never retry by themselves and never guess: an
// unproven result is unknown.
//
// They are called through a [Guard], which bounds them and checks their answers.
type Gateway interface {
	// Do makes the operation under its idempotency key, op.Tenant with op.ID. Replaying it is safe:
	// the gateway does it once and answers the replay as it answered the first.
	//
	// OutcomeNotSent needs proof that the gateway did not and will not do it because of this call:
	// no connection came about, or the gateway turned it away before looking at it. OutcomeDeclined
	// is the operation's result under its key, for good. OutcomeNotFound is no answer to Do.
	Do(ctx context.Context, op messages.Operation) messages.Outcome

	// Lookup asks for the outcome under that key and changes nothing. OutcomeNotFound means that
	// the gateway knows nothing of it now, not that it never will: a request may still be on its
	// way. If the question or the answer did not arrive, the outcome is OutcomeUnknown, never
	// OutcomeNotSent, which would speak of the operation.
	Lookup(ctx context.Context, op messages.Operation) messages.Outcome
}

// Set is the configured gateways by name. It does not change, and may be used concurrently.
type Set struct {
	byName map[string]*Guard
}

// NewSet returns a set of the gateways. From then on those with the same Settings.Credentials rest
// together; none may be called before. It fails when two have the same name.
func NewSet(guards ...*Guard) (*Set, error) {
	s := &Set{byName: make(map[string]*Guard, len(guards))}
	shared := make(map[string]*rest)
	for _, g := range guards {
		if _, taken := s.byName[g.Name()]; taken {
			return nil, fmt.Errorf("collect gateways: two are named %s", g.Name())
		}
		s.byName[g.Name()] = g
		key := g.settings.Credentials
		if key == "" {
			continue
		}
		if shared[key] == nil {
			shared[key] = g.limiter.credentials
		}
		g.limiter.credentials = shared[key]
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
