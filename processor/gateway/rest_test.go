package gateway_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// stuckAt answers one operation with 409 and Retry-After, and all others with success.
type stuckAt struct {
	operation string
	scope     messages.RestScope
	calls     atomic.Int64
}

func (s *stuckAt) Do(_ context.Context, op messages.Operation) messages.Outcome {
	s.calls.Add(1)
	if op.ID == s.operation {
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "409 in_progress", RetryAfter: 30 * time.Second, Rest: s.scope}
	}
	return approved()
}

func (s *stuckAt) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	return s.Do(ctx, op)
}

// TestOursOneStuckOperationDoesNotStopTheOthers holds that a rest which is about one operation is
// passed on, and holds no other operation back.
func TestOursOneStuckOperationDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	for name, scope := range map[string]messages.RestScope{"without a scope": "", "with a scope": messages.RestOperation} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stuck := authorization()
				g := guard(t, &stuckAt{operation: stuck.ID, scope: scope}, oneTry())
				for range 100 {
					o := g.Do(t.Context(), stuck)
					if o.Kind != messages.OutcomeUnknown || o.Rest != messages.RestOperation || o.RetryAfter != 30*time.Second || o.Tries != 1 {
						t.Fatalf("the stuck operation (scope %q) is %+v, want unknown with its own rest", scope, o)
					}
					if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
						t.Fatalf("another operation is %+v, want succeeded", o)
					}
				}
				if s := g.Status(); !s.RateLimitedUntil.IsZero() || s.State != gateway.StateClosed {
					t.Errorf("status is %+v, want closed and not limited", s)
				}
			})
		})
	}
}

// TestOursCredentialsRestTogether holds that Guards with the same credentials rest when one of them
// is turned away, and that others do not.
func TestOursCredentialsRestTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turnedAway := messages.Outcome{Kind: messages.OutcomeNotSent, RetryAfter: 20 * time.Second, Rest: messages.RestCredentials}
		built := func(name, credentials string, g gateway.Gateway) *gateway.Guard {
			s := oneTry()
			s.Credentials = credentials
			guarded, err := gateway.NewGuard(name, g, s)
			if err != nil {
				t.Fatal(err)
			}
			return guarded
		}
		first, second := built("first", "key", says(turnedAway)), built("second", "key", says(approved()))
		other, own := built("other", "another key", says(approved())), built("own", "", says(approved()))
		if _, err := gateway.NewSet(first, second, other, own); err != nil {
			t.Fatal(err)
		}
		first.Do(t.Context(), authorization())
		for _, g := range []*gateway.Guard{first, second} {
			o := g.Do(t.Context(), authorization())
			if o.Kind != messages.OutcomeNotSent || o.Tries != 0 || o.Rest != messages.RestCredentials || o.RetryAfter != 20*time.Second {
				t.Errorf("%s: %+v, want a refusal for 20 s for the sake of the credentials", g.Name(), o)
			}
		}
		for _, g := range []*gateway.Guard{other, own} {
			if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
				t.Errorf("%s: %+v, want succeeded", g.Name(), o)
			}
		}
		pass(20 * time.Second)
		if o := second.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
			t.Errorf("after the rest: %+v, want succeeded", o)
		}
	})
}

// TestOursEveryRefusalNamesItsRest holds that the caller can tell want of room in this process from
// a gateway that takes no calls.
func TestOursEveryRefusalNamesItsRest(t *testing.T) {
	t.Parallel()
	refusal := func(t *testing.T, g *gateway.Guard, want messages.RestScope) {
		t.Helper()
		if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeNotSent || o.Tries != 0 || o.Rest != want || o.RetryAfter <= 0 {
			t.Errorf("outcome is %+v, want not_sent with the rest %s", o, want)
		}
		if o := g.Lookup(t.Context(), authorization()); o.Kind != messages.OutcomeUnknown || o.Tries != 0 || o.Rest != want || o.RetryAfter <= 0 {
			t.Errorf("lookup is %+v, want unknown with the rest %s", o, want)
		}
	}
	t.Run("an open breaker", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := guard(t, says(unknown()), oneTry())
			repeat(4, func() { g.Do(t.Context(), authorization()) })
			refusal(t, g, messages.RestGateway)
		})
	})
	t.Run("a gateway that did nothing and says no scope", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := guard(t, says(busy(messages.OutcomeNotSent, time.Minute)), oneTry())
			g.Do(t.Context(), authorization())
			refusal(t, g, messages.RestGateway)
		})
	})
	t.Run("no rate left", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := guard(t, says(approved()), limited())
			g.Do(t.Context(), authorization())
			refusal(t, g, messages.RestLocal)
		})
	})
	t.Run("no place", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			g := guard(t, does(hangs), gateway.Settings{ConcurrencyMax: 1, QueueWait: time.Second})
			var call sync.WaitGroup
			call.Go(func() { g.Do(t.Context(), authorization()) })
			synctest.Wait()
			refusal(t, g, messages.RestLocal)
			call.Wait()
		})
	})
}

// TestOursABurstQueues holds that a burst that the gateway gets through in time turns no call away,
// and that a call in the queue keeps half of its time for the gateway.
func TestOursABurstQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, does(func(context.Context) messages.Outcome {
			pass(time.Second)
			return approved()
		}), gateway.Settings{ConcurrencyMax: 10})
		var calls sync.WaitGroup
		repeat(50, func() {
			calls.Go(func() {
				if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
					t.Errorf("outcome is %+v, want succeeded", o)
				}
			})
		})
		calls.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		settings := gateway.Settings{ConcurrencyMax: 1, QueueWait: time.Hour}
		settings.Timeouts.Capture = 4 * time.Second
		g := guard(t, does(hangs), settings)
		var call sync.WaitGroup
		call.Go(func() { g.Do(t.Context(), authorization()) })
		synctest.Wait()
		capture, began := authorization(), time.Now()
		capture.Kind = messages.OperationCapture
		o := g.Do(t.Context(), capture)
		if waited := time.Since(began); o.Rest != messages.RestLocal || waited != 2*time.Second { // On the bubble's clock.
			t.Errorf("outcome is %+v after %s, want a local refusal after half of the timeout", o, waited)
		}
		call.Wait()
	})
}

// TestOursTheQueueIsBounded holds that calls to a gateway that hangs do not gather without end.
func TestOursTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, does(hangs), gateway.Settings{ConcurrencyMax: 1, QueueMax: 3})
		var calls sync.WaitGroup
		repeat(4, func() { calls.Go(func() { g.Do(t.Context(), authorization()) }) })
		synctest.Wait()
		began := time.Now()
		if o := g.Do(t.Context(), authorization()); o.Rest != messages.RestLocal || !time.Now().Equal(began) {
			t.Errorf("outcome is %+v, want a local refusal at once", o)
		}
		calls.Wait()
	})
}

// TestOursARecoveryIsToldOnce holds that the Guard tells when a gateway answers again, after its
// breaker was open and after a rest, and not before.
func TestOursARecoveryIsToldOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		away   []messages.Outcome
		rest   time.Duration
		needed int // answers until the gateway counts as back
	}{
		"the breaker was open":   {slices.Repeat([]messages.Outcome{unknown()}, 4), 6 * time.Second, 2},
		"the gateway rested":     {[]messages.Outcome{{Kind: messages.OutcomeUnknown, RetryAfter: time.Second, Rest: messages.RestGateway}}, 2 * time.Second, 1},
		"the credentials rested": {[]messages.Outcome{{Kind: messages.OutcomeNotSent, RetryAfter: time.Second, Rest: messages.RestCredentials}}, 2 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told []string
				settings := oneTry()
				var g *gateway.Guard
				settings.OnAvailable = func(name string) {
					told = append(told, name)
					g.Status() // It is outside of all locks.
				}
				g = guard(t, says(append(c.away, approved())...), settings)
				call := func() { g.Do(t.Context(), authorization()) }
				for round := range c.away {
					call()
					if len(told) != 0 {
						t.Fatalf("told of a recovery after call %d", round+1)
					}
				}
				call() // It is held back.
				pass(c.rest)
				repeat(c.needed-1, call)
				if len(told) != 0 {
					t.Fatal("told of a recovery before it")
				}
				repeat(20, call)
				if !slices.Equal(told, []string{"acquirer"}) {
					t.Errorf("told of %q, want one recovery", told)
				}
			})
		})
	}
	t.Run("nothing happened", func(t *testing.T) {
		t.Parallel()
		settings := oneTry()
		settings.OnAvailable = func(string) { t.Error("told of a recovery, though the gateway was never away") }
		g := guard(t, says(approved(), busy(messages.OutcomeUnknown, time.Second), unknown(), approved()), settings)
		repeat(10, func() { g.Do(t.Context(), authorization()) })
	})
}
