package gateway

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// pauseMax is the longest pause that one answer can bring about: a provider that says a day by
// mistake does not stop payments for a day.
const pauseMax = time.Minute

// rest is a time during which calls are held back. Guards may share one.
type rest struct {
	mu  sync.Mutex
	end time.Time
}

// extend holds calls back for as long as the gateway asks from now on, at most for pauseMax. It
// never shortens a rest that is under way.
func (r *rest) extend(now time.Time, asked time.Duration) {
	end := now.Add(min(asked, pauseMax))
	r.mu.Lock()
	defer r.mu.Unlock()
	if end.After(r.end) {
		r.end = end
	}
}

// until returns the end of the latest rest, the zero time if there was none.
func (r *rest) until() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

// limiter keeps calls within the provider's limits: a number of calls a second, and none while it
// asks to be left alone.
type limiter struct {
	name string
	// tokens is nil where there is no limit; kinds holds one for each kind of call that is limited
	// by itself.
	tokens *rate.Limiter
	kinds  map[messages.OperationKind]*rate.Limiter
	now    func() time.Time
	// own is the rest of this gateway; credentials that of all gateways with the same credentials.
	own, credentials *rest
}

func newLimiter(name string, s Settings) *limiter {
	l := &limiter{name: name, now: s.Now, own: new(rest), credentials: new(rest)}
	if s.Rate.PerSecond > 0 {
		l.tokens = rate.NewLimiter(rate.Limit(s.Rate.PerSecond), s.Rate.Burst)
	}
	if s.Rate.PerKind > 0 {
		l.kinds = make(map[messages.OperationKind]*rate.Limiter)
		for _, kind := range []messages.OperationKind{
			messages.OperationAuthorize, messages.OperationConfirm, messages.OperationCapture, messages.OperationVoid,
			messages.OperationRefund, kindLookup,
		} {
			l.kinds[kind] = rate.NewLimiter(rate.Limit(s.Rate.PerKind), s.Rate.Burst)
		}
	}
	return l
}

// kindLookup stands for all lookups among the kinds of calls.
const kindLookup messages.OperationKind = "lookup"

// turn is the place of one try in the order that the limits of a gateway make.
type turn struct{ all []*rate.Reservation }

// turn takes the next place for a call of a kind.
func (l *limiter) turn(now time.Time, kind messages.OperationKind) turn {
	var t turn
	for _, tokens := range []*rate.Limiter{l.tokens, l.kinds[kind]} {
		if tokens != nil {
			t.all = append(t.all, tokens.ReserveN(now, 1))
		}
	}
	return t
}

func (t turn) delay(now time.Time) (longest time.Duration) {
	for _, r := range t.all {
		longest = max(longest, r.DelayFrom(now))
	}
	return longest
}

// giveUp lets another try have the place.
func (t turn) giveUp(now time.Time) {
	for _, r := range t.all {
		r.CancelAt(now)
	}
}

// admit gets leave for one try of a call of this kind, waiting at most for longest. Without leave
// the try is not made, and RetryAfter in the outcome is the rest.
func (l *limiter) admit(ctx context.Context, kind messages.OperationKind, longest time.Duration) (messages.Outcome, bool) {
	now := l.now()
	if refusal, paused := l.refusal(now); paused {
		return refusal, false
	}
	turn := l.turn(now, kind)
	delay := turn.delay(now)
	switch {
	case delay == 0:
		return messages.Outcome{}, true
	case delay > longest:
		turn.giveUp(now)
		refusal := notSent("gateway %s: its rate of calls is used up for %s", l.name, kind)
		refusal.RetryAfter, refusal.Rest = delay, messages.RestLocal
		return refusal, false
	case !retry.Sleep(ctx, delay):
		turn.giveUp(l.now())
		return notSent("gateway %s: gave up waiting for its turn: %v", l.name, context.Cause(ctx)), false
	}
	// While this call waited, the gateway may have asked another one for a rest.
	refusal, paused := l.refusal(l.now())
	return refusal, !paused
}

// refusal is the outcome of a try while the gateway asks to be left alone; false if it does not.
func (l *limiter) refusal(now time.Time) (messages.Outcome, bool) {
	if left := l.own.until().Sub(now); left > 0 {
		refusal := notSent("gateway %s: it asks to be left alone", l.name)
		refusal.RetryAfter, refusal.Rest = left, messages.RestGateway
		return refusal, true
	}
	if left := l.credentials.until().Sub(now); left > 0 {
		refusal := notSent("gateway %s: it takes no calls with these credentials for now", l.name)
		refusal.RetryAfter, refusal.Rest = left, messages.RestCredentials
		return refusal, true
	}
	return messages.Outcome{}, false
}

// pause begins the rest that an unanswered try asks for, and reports whether calls are held back. A
// rest of one operation, or of this process, holds no other call back.
func (l *limiter) pause(o messages.Outcome) bool {
	switch o.Rest {
	case messages.RestGateway:
		l.own.extend(l.now(), o.RetryAfter)
	case messages.RestCredentials:
		l.credentials.extend(l.now(), o.RetryAfter)
	case messages.RestOperation, messages.RestLocal:
		return false
	}
	return o.Rest != ""
}

// until returns the end of the latest pause, the zero time if there was none.
func (l *limiter) until() time.Time {
	own, credentials := l.own.until(), l.credentials.until()
	if credentials.After(own) {
		return credentials
	}
	return own
}
