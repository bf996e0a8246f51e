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

// limiter keeps calls within the provider's limits: a number of calls a second, and none while it
// asks to be left alone.
type limiter struct {
	name string
	// tokens is nil where there is no limit.
	tokens *rate.Limiter
	now    func() time.Time

	mu          sync.Mutex
	pausedUntil time.Time
}

func newLimiter(name string, s Settings) *limiter {
	l := &limiter{name: name, now: s.Now}
	if s.Rate.PerSecond > 0 {
		l.tokens = rate.NewLimiter(rate.Limit(s.Rate.PerSecond), s.Rate.Burst)
	}
	return l
}

// admit gets leave for one try, waiting at most for longest. Without leave the try is not made,
// and RetryAfter in the outcome is the rest.
func (l *limiter) admit(ctx context.Context, longest time.Duration) (messages.Outcome, bool) {
	now := l.now()
	if refusal, paused := l.refusal(now); paused || l.tokens == nil {
		return refusal, !paused
	}
	turn := l.tokens.ReserveN(now, 1)
	delay := turn.DelayFrom(now)
	switch {
	case delay == 0:
		return messages.Outcome{}, true
	case delay > longest:
		turn.CancelAt(now)
		refusal := notSent("gateway %s: its rate of %v calls a second is used up", l.name, float64(l.tokens.Limit()))
		refusal.RetryAfter = delay
		return refusal, false
	case !retry.Sleep(ctx, delay):
		turn.CancelAt(l.now())
		return notSent("gateway %s: gave up waiting for its turn: %v", l.name, context.Cause(ctx)), false
	}
	// While this call waited, the gateway may have asked another one for a rest.
	refusal, paused := l.refusal(l.now())
	return refusal, !paused
}

// refusal is the outcome of a try while the gateway asks to be left alone; false if it does not.
func (l *limiter) refusal(now time.Time) (messages.Outcome, bool) {
	rest := l.until().Sub(now)
	if rest <= 0 {
		return messages.Outcome{}, false
	}
	refusal := notSent("gateway %s: it asks to be left alone", l.name)
	refusal.RetryAfter = rest
	return refusal, true
}

// pause keeps every call away for as long as the gateway asks. It never shortens a pause that is
// under way.
func (l *limiter) pause(asked time.Duration) {
	until := l.now().Add(min(asked, pauseMax))
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.After(l.pausedUntil) {
		l.pausedUntil = until
	}
}

// until returns the end of the latest pause, the zero time if there was none.
func (l *limiter) until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pausedUntil
}
