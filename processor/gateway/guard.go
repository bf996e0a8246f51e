package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
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
// When a gateway has not done an operation and asks for a rest (RetryAfter with OutcomeNotSent or
// OutcomeUnknown), every call leaves it alone for that time, at most for a minute. The breaker
// does not count such an answer as a failure.
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
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: fmt.Sprintf("gateway %s: no operation of kind %q", g.name, op.Kind)}
	}
	return g.run(ctx, timeout, call{op: op, ask: g.gateway.Do})
}

// Lookup implements [Gateway]. It never returns OutcomeNotSent: a question that could not be asked
// leaves the operation as unknown as it was. RetryAfter is set as for Do.
func (g *Guard) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	o := g.run(ctx, g.settings.Timeouts.Lookup, call{op: op, ask: g.gateway.Lookup, lookup: true})
	if o.Kind == messages.OutcomeNotSent {
		o.Kind = messages.OutcomeUnknown
		o.Detail = "could not ask: " + o.Detail
	}
	return o
}

// call is one Do or Lookup on its way through the Guard.
type call struct {
	op     messages.Operation
	ask    func(context.Context, messages.Operation) messages.Outcome
	lookup bool
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
	if refusal, ok := g.enter(ctx); !ok {
		return clean(refusal)
	}
	defer func() { <-g.places }()
	return clean(g.try(ctx, caller, c))
}

// clean makes the Guard's own words fit to be stored: they hold words of others, such as the cause
// of a context's end.
func clean(o messages.Outcome) messages.Outcome {
	o.Detail = plain(o.Detail)
	o.Rest = restOf(o)
	return o
}

// enter takes a place, waiting for one as long as QueueWait.
func (g *Guard) enter(ctx context.Context) (messages.Outcome, bool) {
	if ctx.Err() != nil {
		return notSent("gateway %s: gave up before calling: %v", g.name, context.Cause(ctx)), false
	}
	select {
	case g.places <- struct{}{}:
		return messages.Outcome{}, true
	default:
	}
	wait := time.NewTimer(g.settings.QueueWait)
	defer wait.Stop()
	select {
	case g.places <- struct{}{}:
		return messages.Outcome{}, true
	case <-wait.C:
		full := notSent("gateway %s: all %d places are taken", g.name, cap(g.places))
		full.RetryAfter = g.settings.QueueWait
		return full, false
	case <-ctx.Done():
		return notSent("gateway %s: gave up waiting for a place: %v", g.name, context.Cause(ctx)), false
	}
}

// try makes the quick tries of one call.
func (g *Guard) try(ctx, caller context.Context, c call) messages.Outcome {
	began := g.settings.Now()
	pauses := g.settings.Retry.pauses()
	tries := 0
	var doubt *messages.Outcome // the last try that may have arrived
	for {
		v := g.once(ctx, caller, c)
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
func (g *Guard) once(ctx, caller context.Context, c call) result {
	if g.breaker.state() != StateOpen {
		if refusal, ok := g.limiter.admit(ctx, g.settings.QueueWait); !ok {
			return result{outcome: refusal}
		}
	}
	return g.breaker.through(caller, func() (v result) {
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
		if o.RetryAfter > 0 && !answered(o.Kind) {
			g.limiter.pause(o.RetryAfter)
		}
		// An answer that cannot be stored is none, and asking again would bring the same.
		return result{outcome: CleanOutcome(c.op, o, g.settings.Now()), called: true, again: !answered(o.Kind)}
	})
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

// flaw names the contradiction in the answer to a call, "" if there is none. A flawed answer is no
// answer: an implementation that contradicts itself has proven nothing.
func flaw(c call, o messages.Outcome) string {
	if o.AmountMinor < 0 {
		return "a negative amount"
	}
	if o.Decline != nil && o.Kind != messages.OutcomeDeclined {
		return fmt.Sprintf("%s with a decline", o.Kind)
	}
	if o.NextAction != nil && o.Kind != messages.OutcomeRequiresAction {
		return fmt.Sprintf("%s with a next action", o.Kind)
	}
	switch o.Kind {
	case messages.OutcomeSucceeded:
		if c.op.Kind == messages.OperationAuthorize && o.GatewayReference == "" {
			return "an authorization without a reference"
		}
		return ""
	case messages.OutcomeDeclined:
		return declineFlaw(o.Decline)
	case messages.OutcomeRequiresAction:
		return actionFlaw(c.op.Kind, o)
	case messages.OutcomePending, messages.OutcomeNotSent, messages.OutcomeUnknown:
		return ""
	case messages.OutcomeNotFound:
		if !c.lookup {
			return "not_found to a request that was not a lookup"
		}
		return ""
	default:
		return fmt.Sprintf("unknown outcome %q", o.Kind)
	}
}

func declineFlaw(d *messages.Decline) string {
	switch {
	case d == nil:
		return "declined without a decline"
	case d.Code == "":
		return "a decline without a code"
	}
	switch d.Class {
	case messages.DeclineNeverRetry, messages.DeclineFixData, messages.DeclineStepUp, messages.DeclineSoft, messages.DeclineLookUpFirst:
		return ""
	default:
		return fmt.Sprintf("unknown decline class %q", d.Class)
	}
}

func actionFlaw(kind messages.OperationKind, o messages.Outcome) string {
	switch {
	case kind != messages.OperationAuthorize && kind != messages.OperationConfirm:
		return fmt.Sprintf("requires_action to a %s", kind)
	case o.NextAction == nil || o.NextAction.Type == "":
		return "requires_action without the action"
	case o.GatewayReference == "":
		return "requires_action without a reference to confirm"
	default:
		return ""
	}
}
