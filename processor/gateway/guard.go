package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// Guard is a Gateway with bounds around it: a limit on concurrent calls and on calls a second, a
// timeout for each, a few quick tries under the same idempotency key, and a circuit breaker that
// leaves a failing gateway alone. It checks every answer, and it holds send certainty over all
// tries of a call. What leaves it can be stored: see [CleanOutcome]. It may be used concurrently.
//
// When a gateway does not answer an operation and asks for a rest, Outcome.Rest says what rests:
// one operation (the Guard goes on with the others, and leaves the wait to the caller), all calls
// of this gateway, or all calls with its credentials, also those of other Guards in one [Set]. A
// rest of the last two kinds lasts a minute at most. Without a scope, a rest after OutcomeNotSent
// is the gateway's, and after OutcomeUnknown the operation's. The breaker does not count such an
// answer as a failure. Refusals of the Guard's own name their rest as well: an open breaker rests
// the gateway, the want of a place or of rate is local.
//
// Want of a place or of rate queues first, so that a burst turns nothing away: a call waits for
// QueueWait, at most for half of its time, so that the other half is left to the gateway.
//
// A quick try follows a try that did not reach the gateway, and one that came back as a fault: a
// cut connection, a 5xx, a 429 whose Retry-After is short enough. It never follows a timeout (its
// time is spent), a refusal by the breaker or for want of a place or of rate, or an answer.
type Guard struct {
	name     string
	gateway  Gateway
	settings Settings
	places   chan struct{}
	limiter  *limiter
	breaker  *breaker
	// waiting counts the calls that wait for a place.
	waiting atomic.Int64
	// away says that calls were held back, or that a rest began, since the gateway last answered.
	away atomic.Bool
}

// NewGuard puts the bounds around g. It fails when the name is empty, there is no gateway, or a
// setting makes no sense.
func NewGuard(name string, g Gateway, s Settings) (*Guard, error) {
	if name == "" {
		return nil, errors.New("guard a gateway: it has no name")
	}
	if g == nil {
		return nil, fmt.Errorf("guard gateway %s: there is none", name)
	}
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("guard gateway %s: %w", name, err)
	}
	return &Guard{
		name: name, gateway: g, settings: s,
		places: make(chan struct{}, s.ConcurrencyMax), limiter: newLimiter(name, s), breaker: newBreaker(name, s),
	}, nil
}

// Name returns the name under which operations ask for this gateway.
func (g *Guard) Name() string { return g.name }

// State returns the state of the circuit breaker now.
func (g *Guard) State() State { return g.breaker.state() }

// Do implements [Gateway]. Outcome.Tries counts the calls that were made; RetryAfter is set when
// the breaker is open, no place was free, the rate was used up or the gateway asks to be left
// alone. If any try may have reached the gateway, the outcome is not OutcomeNotSent. It returns
// within the timeout of the operation's kind, provided the gateway honours its context.
func (g *Guard) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	timeout, known := g.settings.Timeouts.of(op.Kind)
	if !known {
		return clean(notSent("gateway %s: no operation of kind %q", g.name, op.Kind))
	}
	return g.run(ctx, timeout, call{op: op, ask: g.gateway.Do})
}

// Lookup implements [Gateway]. It never returns OutcomeNotSent: a question that could not be asked
// leaves the operation as unknown as it was. RetryAfter is set as for Do.
func (g *Guard) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	o := g.run(ctx, g.settings.Timeouts.Lookup, call{op: op, ask: g.gateway.Lookup, lookup: true})
	if o.Kind == messages.OutcomeNotSent {
		o.Kind = messages.OutcomeUnknown
		o.Detail = plain("could not ask: " + o.Detail)
	}
	return o
}

// call is one Do or Lookup on its way through the Guard.
type call struct {
	op     messages.Operation
	ask    func(context.Context, messages.Operation) messages.Outcome
	lookup bool
}

// kind is the kind of the call, as limits of rate tell calls apart.
func (c call) kind() messages.OperationKind {
	if c.lookup {
		return kindLookup
	}
	return c.op.Kind
}

// result is the result of one try.
type result struct {
	outcome messages.Outcome
	// called says that the gateway's code ran.
	called bool
	// again says that another try now could bring more than this one did.
	again bool
}

func (g *Guard) run(caller context.Context, timeout time.Duration, c call) messages.Outcome {
	ctx, cancel := context.WithTimeout(caller, timeout)
	defer cancel()
	if ctx.Err() != nil {
		return clean(notSent("gateway %s: gave up before calling: %v", g.name, context.Cause(ctx)))
	}
	q := queue{until: g.settings.Now().Add(min(g.settings.QueueWait, timeout/2))}
	if refusal, resting := g.resting(); resting {
		return clean(refusal)
	}
	if refusal, ok := g.enter(ctx, q); !ok {
		return clean(refusal)
	}
	defer func() { <-g.places }()
	return clean(g.try(ctx, caller, q, c))
}

// queue bounds the waits of one call for a place and for its turns.
type queue struct{ until time.Time }

// left is the time that the call may still wait.
func (q queue) left(now time.Time) time.Duration { return max(q.until.Sub(now), 0) }

// resting is the outcome of a call while nothing may be called: no call waits for a place only to
// be refused.
func (g *Guard) resting() (messages.Outcome, bool) {
	refusal, resting := g.limiter.refusal(g.settings.Now())
	if !resting && g.breaker.state() == StateOpen {
		refusal, resting = g.breaker.refusal(), true
	}
	if resting {
		g.away.Store(true)
	}
	return refusal, resting
}

// clean makes the Guard's own words fit to be stored: they hold words of others, such as the cause
// of a context's end.
func clean(o messages.Outcome) messages.Outcome {
	o.Detail = plain(o.Detail)
	o.Rest = restOf(o)
	return o
}

// enter takes a place, waiting for one in the queue.
func (g *Guard) enter(ctx context.Context, q queue) (messages.Outcome, bool) {
	select {
	case g.places <- struct{}{}:
		return messages.Outcome{}, true
	default:
	}
	full := notSent("gateway %s: all %d places are taken", g.name, cap(g.places))
	full.RetryAfter, full.Rest = fullRest, messages.RestLocal
	if g.waiting.Add(1) > int64(g.settings.QueueMax) {
		g.waiting.Add(-1)
		return full, false
	}
	defer g.waiting.Add(-1)
	wait := time.NewTimer(q.left(g.settings.Now()))
	defer wait.Stop()
	select {
	case g.places <- struct{}{}:
		return messages.Outcome{}, true
	case <-wait.C:
		return full, false
	case <-ctx.Done():
		return notSent("gateway %s: gave up waiting for a place: %v", g.name, context.Cause(ctx)), false
	}
}

// fullRest is the time after which a call that found no place may come again.
const fullRest = time.Second

// try makes the quick tries of one call.
func (g *Guard) try(ctx, caller context.Context, q queue, c call) messages.Outcome {
	began := g.settings.Now()
	pauses := g.settings.Retry.pauses()
	tries := 0
	var doubt *messages.Outcome // the last try that may have arrived
	for {
		v := g.once(ctx, caller, q, c)
		if v.called {
			tries++
		}
		if v.outcome.Kind == messages.OutcomeUnknown {
			doubt = &v.outcome
		}
		if !v.again || tries >= g.settings.Retry.TriesMax {
			return settled(v.outcome, tries, doubt)
		}
		// Calls that wait for the same time do not come back in one moment.
		pause := min(pauses.NextBackOff(), g.settings.Retry.Max) + v.outcome.RetryAfter
		late := g.settings.Now().Sub(began)+pause > g.settings.Retry.Total
		if late || !retry.Sleep(ctx, pause) {
			return settled(v.outcome, tries, doubt)
		}
	}
}

// once makes one try, if rate and breaker let it through. An open breaker refuses without using up
// the rate.
func (g *Guard) once(ctx, caller context.Context, q queue, c call) result {
	if refusal, resting := g.resting(); resting {
		return result{outcome: refusal}
	}
	if refusal, ok := g.limiter.admit(ctx, c.kind(), q.left(g.settings.Now())); !ok {
		return result{outcome: refusal}
	}
	v := g.breaker.through(caller, func() result { return g.ask(ctx, c) })
	g.note(v)
	return v
}

// ask makes the call itself, and judges the answer.
func (g *Guard) ask(ctx context.Context, c call) (v result) {
	defer func() {
		if value := recover(); value != nil {
			if g.settings.OnPanic != nil {
				g.settings.OnPanic(g.name, value, debug.Stack())
			}
			// The value may hold anything, so that only its type is told.
			v = result{outcome: unknown("gateway %s: panicked with a %T", g.name, value), called: true}
		}
	}()
	o := c.ask(ctx, c.op)
	if problem := flaw(c, o); problem != "" {
		return result{outcome: unknown("gateway %s: its answer makes no sense: %s", g.name, problem), called: true}
	}
	again := !answered(o.Kind)
	// An answer that cannot be stored is none, and asking again would bring the same.
	o = CleanOutcome(c.op, o, g.settings.Now())
	if again && g.limiter.pause(o) {
		g.away.Store(true)
	}
	return result{outcome: o, called: true, again: again}
}

// note remembers that calls are held back from the gateway, and tells when it answers again.
func (g *Guard) note(v result) {
	switch {
	case !v.called: // The breaker refused it.
		g.away.Store(true)
	case !answered(v.outcome.Kind):
		if g.breaker.state() == StateOpen {
			g.away.Store(true)
		}
	case g.away.Load():
		g.recovered()
	}
}

// recovered tells that the gateway answers again, once no rest is left and the breaker is closed. A
// late answer to a call from before the rest is no recovery.
func (g *Guard) recovered() {
	_, resting := g.limiter.refusal(g.settings.Now())
	if resting || g.breaker.state() != StateClosed {
		return
	}
	if g.away.CompareAndSwap(true, false) && g.settings.OnAvailable != nil {
		g.settings.OnAvailable(g.name)
	}
}

// answered reports whether the outcome is an answer of the gateway.
func answered(kind messages.OutcomeKind) bool {
	return kind != messages.OutcomeNotSent && kind != messages.OutcomeUnknown
}

// settled is the outcome of the whole call. That the last try was not sent says nothing about an
// earlier one in doubt.
func settled(o messages.Outcome, tries int, doubt *messages.Outcome) messages.Outcome {
	o.Tries = tries
	if o.Kind == messages.OutcomeNotSent && doubt != nil {
		o.Kind = messages.OutcomeUnknown
		o.Detail = fmt.Sprintf("%s; then not sent again: %s", doubt.Detail, o.Detail)
	}
	return o
}

// pauses returns the growing pauses between the quick tries of one call.
func (r Retry) pauses() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(r.Initial), backoff.WithMaxInterval(r.Max), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.5), backoff.WithMaxElapsedTime(0), // Retry.Total ends the tries.
	)
}

func notSent(format string, args ...any) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf(format, args...)}
}

// Status is the state of a Guard at one moment, for people and programs that watch.
type Status struct {
	Gateway string `json:"gateway"`
	State   State  `json:"state"`
	// Since is the time at which the breaker came to State; at first, that at which the Guard was
	// made.
	Since time.Time `json:"since"`
	// Tries and Failures are those in the breaker's window while it is closed, and otherwise those
	// that opened it. Neither counts a try that its caller gave up, or one that the gateway asked
	// to make later: they say nothing about the gateway.
	Tries    int `json:"tries"`
	Failures int `json:"failures"`
	// InFlight counts the calls under way, of ConcurrencyMax.
	InFlight       int `json:"in_flight"`
	ConcurrencyMax int `json:"concurrency_max"`
	// RateLimitedUntil is the end of the rest that the gateway asks for; zero if it asks for none.
	RateLimitedUntil time.Time `json:"rate_limited_until,omitzero"`
}

// Status returns the state of the Guard now.
func (g *Guard) Status() Status {
	s := Status{Gateway: g.name, InFlight: len(g.places), ConcurrencyMax: cap(g.places)}
	s.State, s.Since, s.Tries, s.Failures = g.breaker.standing()
	if until := g.limiter.until(); until.After(g.settings.Now()) {
		s.RateLimitedUntil = until.UTC()
	}
	return s
}
