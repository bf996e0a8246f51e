package gateway

import "time"

// Status is where a Guard stands at one moment, for people and programs that watch.
type Status struct {
	Gateway string `json:"gateway"`
	State   State  `json:"state"`
	// Since is when the breaker came to State; at first, when the Guard was made.
	Since time.Time `json:"since"`
	// Tries and Failures are those in the breaker's window while it is closed, and otherwise those that opened it. What says nothing
	// about the gateway is in neither: a try that its caller gave up, or one that the gateway asked to make later.
	Tries    int `json:"tries"`
	Failures int `json:"failures"`
	// InFlight is how many calls are under way, of ConcurrencyMax.
	InFlight       int `json:"in_flight"`
	ConcurrencyMax int `json:"concurrency_max"`
	// RateLimitedUntil is until when the gateway asks to be left alone; zero if it does not.
	RateLimitedUntil time.Time `json:"rate_limited_until,omitzero"`
}

// Status returns where the Guard stands now.
func (g *Guard) Status() Status {
	s := Status{Gateway: g.name, InFlight: len(g.places), ConcurrencyMax: cap(g.places)}
	s.State, s.Since, s.Tries, s.Failures = g.breaker.standing()
	if until := g.limiter.until(); until.After(g.settings.Now()) {
		s.RateLimitedUntil = until.UTC()
	}
	return s
}
