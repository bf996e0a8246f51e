package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// oneTry makes every call one try, so that a test counts as the breaker does.
func oneTry() gateway.Settings {
	return gateway.Settings{
		Retry: gateway.Retry{TriesMax: 1},
		Breaker: gateway.Breaker{
			FailureRatio: 0.5, RequestsMin: 4, Window: 10 * time.Second, OpenFor: 5 * time.Second, ProbesMax: 2,
		},
	}
}

// pass lets time go by on a bubble's clock.
func pass(d time.Duration) { <-time.After(d) }

func repeat(n int, f func()) {
	for range n {
		f()
	}
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		settings := oneTry()
		settings.OnStateChange = func(name string, from, to gateway.State) {
			changes = append(changes, fmt.Sprintf("%s: %s to %s", name, from, to))
		}
		s := says(unknown(), notSent(), unknown(), unknown(), approved())
		g := guard(t, s, settings)
		call := func() messages.Outcome { return g.Do(t.Context(), authorization()) }

		repeat(3, func() { call() })
		if g.State() != gateway.StateClosed {
			t.Fatalf("the breaker is %s after three failures of the four it takes", g.State())
		}
		call()
		if g.State() != gateway.StateOpen {
			t.Fatalf("the breaker is %s after four failures", g.State())
		}

		pass(time.Second)
		o := call()
		if o.Kind != messages.OutcomeNotSent || o.Tries != 0 || o.RetryAfter != 4*time.Second {
			t.Errorf("outcome is %+v, want not_sent without a try, to be tried again in 4 s", o)
		}
		if l := g.Lookup(t.Context(), authorization()); l.Kind != messages.OutcomeUnknown || l.RetryAfter != 4*time.Second {
			t.Errorf("lookup is %+v, want unknown, to be asked again in 4 s", l)
		}
		if s.calls() != 4 {
			t.Errorf("the gateway was called %d times, want 4: the breaker is open", s.calls())
		}

		pass(4*time.Second + time.Nanosecond)
		if g.State() != gateway.StateHalfOpen {
			t.Fatalf("the breaker is %s after its time", g.State())
		}
		repeat(2, func() {
			if o := call(); o.Kind != messages.OutcomeSucceeded {
				t.Errorf("a probe is %s, want succeeded", o.Kind)
			}
		})
		want := []string{"acquirer: closed to open", "acquirer: open to half_open", "acquirer: half_open to closed"}
		if !slices.Equal(changes, want) {
			t.Errorf("changes are %q, want %q", changes, want)
		}
	})
}

func TestHalfOpenLetsProbesThroughOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		repeat(4, func() { s.script = append(s.script, func(context.Context) messages.Outcome { return unknown() }) })
		s.script = append(s.script, hangs)
		g := guard(t, s, oneTry())
		repeat(4, func() { g.Do(t.Context(), authorization()) })
		pass(6 * time.Second)

		var probes sync.WaitGroup
		repeat(2, func() { probes.Go(func() { g.Do(t.Context(), authorization()) }) })
		synctest.Wait()
		o := g.Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeNotSent || o.RetryAfter != time.Second {
			t.Errorf("outcome beside the probes is %+v, want not_sent, to be tried again in a second", o)
		}
		probes.Wait()
		if g.State() != gateway.StateOpen {
			t.Errorf("the breaker is %s after its probes failed", g.State())
		}
	})
}

func TestAnswersDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	action := messages.Outcome{
		Kind: messages.OutcomeRequiresAction, GatewayReference: "ref", NextAction: &messages.NextAction{Type: "three_d_secure"},
	}
	for name, o := range map[string]messages.Outcome{
		"declined":        declined("generic_decline"),
		"requires action": action,
		"pending":         {Kind: messages.OutcomePending},
	} {
		g := guard(t, says(o), oneTry())
		repeat(100, func() { g.Do(t.Context(), authorization()) })
		if g.State() != gateway.StateClosed {
			t.Errorf("the breaker is %s after a hundred times %s", g.State(), name)
		}
	}
	g := guard(t, says(messages.Outcome{Kind: messages.OutcomeNotFound}), oneTry())
	repeat(100, func() { g.Lookup(t.Context(), authorization()) })
	if g.State() != gateway.StateClosed {
		t.Errorf("the breaker is %s after a hundred times not found", g.State())
	}
}

func TestOurOwnShutdownDoesNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, does(hangs), oneTry())
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		repeat(100, func() {
			calls.Go(func() {
				if o := g.Do(ctx, authorization()); o.Kind != messages.OutcomeUnknown {
					t.Errorf("outcome is %s, want unknown: it was sent", o.Kind)
				}
			})
		})
		synctest.Wait()
		cancel()
		calls.Wait()
		if g.State() != gateway.StateClosed {
			t.Errorf("the breaker is %s after the callers gave up", g.State())
		}
	})
}

func TestOldFailuresAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, says(unknown()), oneTry())
		repeat(3, func() { g.Do(t.Context(), authorization()) })
		pass(11 * time.Second)
		repeat(3, func() { g.Do(t.Context(), authorization()) })
		if g.State() != gateway.StateClosed {
			t.Errorf("the breaker is %s, though no window held four failures", g.State())
		}
	})
}

func TestDoubtOutlivesAnOpenBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := oneTry()
		settings.Retry.TriesMax = 10
		g := guard(t, says(unknown()), settings)
		o := g.Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeUnknown || o.Tries != 4 || o.RetryAfter == 0 {
			t.Errorf("outcome is %+v, want unknown after the four tries that opened the breaker", o)
		}
	})
}

func TestFullBulkheadIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := gateway.Settings{ConcurrencyMax: 2, QueueWait: 100 * time.Millisecond}
		slow := does(hangs)
		stuck, other := guard(t, slow, settings), guard(t, says(approved()), settings)
		var calls sync.WaitGroup
		repeat(2, func() { calls.Go(func() { stuck.Do(t.Context(), authorization()) }) })
		synctest.Wait()

		began := time.Now()
		o := stuck.Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeNotSent || o.Tries != 0 || o.RetryAfter == 0 {
			t.Errorf("outcome is %+v, want not_sent without a try, to be tried again", o)
		}
		if waited := time.Since(began); waited != settings.QueueWait {
			t.Errorf("waited %s for a place, want %s", waited, settings.QueueWait)
		}
		if slow.calls() != 2 {
			t.Errorf("the gateway was called %d times at once, want 2", slow.calls())
		}
		if o := other.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
			t.Errorf("another gateway is %s beside a slow one, want succeeded", o.Kind)
		}
		calls.Wait()
	})
}

func TestAPlaceThatIsGivenBackIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := guard(t, does(func(context.Context) messages.Outcome {
			<-release
			return approved()
		}), gateway.Settings{ConcurrencyMax: 1})
		var calls sync.WaitGroup
		repeat(2, func() {
			calls.Go(func() {
				if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
					t.Errorf("outcome is %s, want succeeded", o.Kind)
				}
			})
		})
		synctest.Wait()
		close(release)
		calls.Wait()
	})
}

func TestNoMoreThanTheLimitAtOnce(t *testing.T) {
	t.Parallel()
	const limit = 7
	var now, most atomic.Int64
	g := guard(t, does(func(context.Context) messages.Outcome {
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		return approved()
	}), gateway.Settings{ConcurrencyMax: limit, QueueWait: time.Minute})
	var calls sync.WaitGroup
	repeat(50, func() {
		calls.Go(func() { repeat(100, func() { g.Do(t.Context(), authorization()) }) })
	})
	calls.Wait()
	if most.Load() > limit {
		t.Errorf("%d calls at once, want %d at most", most.Load(), limit)
	}
}
