package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// What a try tells the breaker. An answer of any kind, a decline included, is no error at all: the gateway works.
var (
	errFault     = errors.New("the gateway did not answer")
	errAbandoned = errors.New("the caller gave up")
)

// windowBuckets is into how many parts the breaker's window is cut; the oldest part is forgotten at a time.
const windowBuckets = 10

// breaker stops calls to a gateway that does not answer, and says for how long.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[verdict]
	name    string
	openFor time.Duration
	now     func() time.Time
	// reopens is when the breaker lets probes through, in Unix nanoseconds.
	reopens atomic.Int64
}

func newBreaker(name string, s Settings) *breaker {
	b := &breaker{name: name, openFor: s.Breaker.OpenFor, now: s.Now}
	b.circuit = gobreaker.NewCircuitBreaker[verdict](gobreaker.Settings{
		Name:         name,
		MaxRequests:  uint32(s.Breaker.ProbesMax), //nolint:gosec // Validated to be positive; no one sets four thousand million probes.
		Interval:     s.Breaker.Window,
		BucketPeriod: max(s.Breaker.Window/windowBuckets, 1),
		Timeout:      s.Breaker.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			settled := c.TotalSuccesses + c.TotalFailures
			return settled >= uint32(s.Breaker.RequestsMin) && //nolint:gosec // As above.
				float64(c.TotalFailures) >= s.Breaker.FailureRatio*float64(settled)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.reopens.Store(b.now().Add(b.openFor).UnixNano())
			}
			if s.OnStateChange != nil {
				s.OnStateChange(name, stateOf(from), stateOf(to))
			}
		},
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return errors.Is(err, errAbandoned) },
	})
	return b
}

// through makes one try unless the breaker refuses it, and counts how it ended. A try that its caller gave up, as on a
// shutdown, says nothing about the gateway and is not counted.
func (b *breaker) through(caller context.Context, try func() verdict) verdict {
	v, err := b.circuit.Execute(func() (verdict, error) {
		v := try()
		switch {
		case answered(v.outcome.Kind):
			return v, nil
		case errors.Is(caller.Err(), context.Canceled):
			return v, errAbandoned
		default:
			return v, errFault
		}
	})
	switch {
	case errors.Is(err, gobreaker.ErrOpenState):
		refusal := notSent("gateway %s: its circuit breaker is open", b.name)
		rest := time.Unix(0, b.reopens.Load()).Sub(b.now())
		refusal.RetryAfter = min(max(rest, time.Millisecond), b.openFor)
		return verdict{outcome: refusal}
	case errors.Is(err, gobreaker.ErrTooManyRequests):
		refusal := notSent("gateway %s: its circuit breaker lets probes through only", b.name)
		refusal.RetryAfter = min(time.Second, b.openFor)
		return verdict{outcome: refusal}
	default:
		return v
	}
}

func (b *breaker) state() State { return stateOf(b.circuit.State()) }

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateClosed:
		return StateClosed
	case gobreaker.StateHalfOpen:
		return StateHalfOpen
	default:
		return StateOpen
	}
}
