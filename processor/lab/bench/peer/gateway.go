package main

import (
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
	"github.com/sony/gobreaker"
)

// gateway takes the money at once. Like every gateway it repeats the answer for a known key and
// not the charge. It may be called concurrently.
type gateway struct {
	mu      sync.Mutex
	charges map[string]uuid.UUID // by key
	calls   int
}

func newGateway() *gateway { return &gateway{charges: map[string]uuid.UUID{}} }

func (g *gateway) charge(key string, paymentID uuid.UUID) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	g.charges[key] = paymentID
	return "ch_" + key
}

// counts returns the number of charges and of payments with a charge.
func (g *gateway) counts() (charges, payments int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	distinct := map[uuid.UUID]struct{}{}
	for _, id := range g.charges {
		distinct[id] = struct{}{}
	}
	return len(g.charges), len(distinct)
}

// guarded puts the retries and the circuit breaker of Watermill around the call of the gateway.
func guarded() message.HandlerMiddleware {
	retry := middleware.Retry{MaxRetries: 3, InitialInterval: 50 * time.Millisecond, Multiplier: 2, MaxInterval: time.Second}
	breaker := middleware.NewCircuitBreaker(gobreaker.Settings{Name: gatewayName, Timeout: 10 * time.Second})
	return func(call message.HandlerFunc) message.HandlerFunc {
		return retry.Middleware(breaker.Middleware(call))
	}
}
