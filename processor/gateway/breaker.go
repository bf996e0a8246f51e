package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/seed-384b1f8a/tender/messages"
)

// The reports of a try to the breaker. An answer of any kind, a decline included, is no error: the
// gateway works.
var (
	errFault     = errors.New("the gateway did not answer")
	errAbandoned = errors.New("the caller gave up")
	errBusy      = errors.New("the gateway asked to be left alone")
)

// State is the state of a gateway's circuit breaker.
type State string

// The states of a breaker.
const (
	// StateClosed lets every call through.
	StateClosed State = "closed"
	// StateHalfOpen lets a few probes through to see whether the gateway is back.
	StateHalfOpen State = "half_open"
	// StateOpen lets nothing through.
	StateOpen State = "open"
)

// windowBuckets is the number of parts of the breaker's window; the oldest part is forgotten at a
// time.
const windowBuckets = 10

// breaker stops calls to a gateway that does not answer, and gives the time until the next probe.
type breaker struct {
	circuit *gobreaker.CircuitBreaker[result]
	name    string
	openFor time.Duration
	now     func() time.Time
	// reopens is the time from which the breaker lets probes through, in Unix nanoseconds.
	reopens atomic.Int64
	// since is the time at which it came to its state, in Unix nanoseconds.
	since atomic.Int64
	// opened holds its counts at the moment when it opened last.
	opened atomic.Pointer[gobreaker.Counts]
}

func newBreaker(name string, s Settings) *breaker {
	b := &breaker{name: name, openFor: s.Breaker.OpenFor, now: s.Now}
	b.since.Store(b.now().UnixNano())
	b.circuit = gobreaker.NewCircuitBreaker[result](gobreaker.Settings{
		Name:         name,
		MaxRequests:  uint32(s.Breaker.ProbesMax), //nolint:gosec // Validated to be positive; four thousand million probes are out of question.
		Interval:     s.Breaker.Window,
		BucketPeriod: max(s.Breaker.Window/windowBuckets, 1),
		Timeout:      s.Breaker.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			settled := c.TotalSuccesses + c.TotalFailures
			trips := settled >= uint32(s.Breaker.RequestsMin) && //nolint:gosec // As above.
				float64(c.TotalFailures) >= s.Breaker.FailureRatio*float64(settled)
			if trips {
				b.opened.Store(&c)
			}
			return trips
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			now := b.now()
			b.since.Store(now.UnixNano())
			if to == gobreaker.StateOpen {
				b.reopens.Store(now.Add(b.openFor).UnixNano())
			}
			if s.OnStateChange != nil {
				s.OnStateChange(name, stateOf(from), stateOf(to))
			}
		},
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return errors.Is(err, errAbandoned) || errors.Is(err, errBusy) },
	})
	return b
}

// through makes one try unless the breaker refuses it, and counts how it ended. A try that its
// caller gave up, as on a shutdown, says nothing about the gateway and is not counted. Nor is one
// that the gateway asked to make later: it lives, and the pause that follows gives it the rest.
func (b *breaker) through(caller context.Context, try func() result) result {
	v, err := b.circuit.Execute(func() (result, error) {
		v := try()
		switch {
		case answered(v.outcome.Kind):
			return v, nil
		case v.outcome.RetryAfter > 0:
			return v, errBusy
		case errors.Is(caller.Err(), context.Canceled):
			return v, errAbandoned
		default:
			return v, errFault
		}
	})
	switch {
	case errors.Is(err, gobreaker.ErrOpenState):
		return result{outcome: b.refusal()}
	case errors.Is(err, gobreaker.ErrTooManyRequests):
		refusal := notSent("gateway %s: its circuit breaker lets probes through only", b.name)
		refusal.RetryAfter, refusal.Rest = min(time.Second, b.openFor), messages.RestGateway
		return result{outcome: refusal}
	default:
		return v
	}
}

// refusal is the outcome of a call while the breaker is open.
func (b *breaker) refusal() messages.Outcome {
	refusal := notSent("gateway %s: its circuit breaker is open", b.name)
	left := time.Unix(0, b.reopens.Load()).Sub(b.now())
	refusal.RetryAfter, refusal.Rest = min(max(left, time.Millisecond), b.openFor), messages.RestGateway
	return refusal
}

func (b *breaker) state() State { return stateOf(b.circuit.State()) }

// standing returns the state, the time of its beginning, and the tries and failures that speak for
// it.
func (b *breaker) standing() (state State, since time.Time, tries, failures int) {
	// Asking for the state first moves the window on, so that the counts are those of now.
	state = b.state()
	counts := b.circuit.Counts()
	if opened := b.opened.Load(); state != StateClosed && opened != nil {
		counts = *opened
	}
	return state, time.Unix(0, b.since.Load()).UTC(), int(counts.TotalSuccesses + counts.TotalFailures), int(counts.TotalFailures)
}

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
