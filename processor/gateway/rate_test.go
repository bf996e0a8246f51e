package gateway_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// limited is one try a call at two calls a second, one at a time.
func limited() gateway.Settings {
	s := oneTry()
	s.Rate, s.QueueWait = gateway.Rate{PerSecond: 2}, 100*time.Millisecond
	return s
}

func busy(kind messages.OutcomeKind, rest time.Duration) messages.Outcome {
	return messages.Outcome{Kind: kind, Detail: "too many requests", RetryAfter: rest}
}

func TestRateIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := says(approved())
		g := guard(t, s, limited())
		if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
			t.Fatalf("the first call is %s, want succeeded", o.Kind)
		}
		pass(200 * time.Millisecond)
		o := g.Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeNotSent || o.Tries != 0 || o.RetryAfter != 300*time.Millisecond {
			t.Errorf("outcome is %+v, want not_sent without a try, to be tried again in 300 ms", o)
		}
		if l := g.Lookup(t.Context(), authorization()); l.Kind != messages.OutcomeUnknown || l.Tries != 0 || l.RetryAfter != 300*time.Millisecond {
			t.Errorf("lookup is %+v, want unknown without a try, to be asked again in 300 ms", l)
		}
		if s.calls() != 1 {
			t.Errorf("the gateway was called %d times, want once", s.calls())
		}
		// Refused calls have used nothing up.
		pass(300 * time.Millisecond)
		if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
			t.Errorf("the call in time is %s, want succeeded", o.Kind)
		}
		pass(500 * time.Millisecond)
		if l := g.Lookup(t.Context(), authorization()); l.Kind != messages.OutcomeSucceeded {
			t.Errorf("the lookup in time is %s, want succeeded", l.Kind)
		}
		if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeNotSent {
			t.Errorf("the call right after a lookup is %s, want not_sent: lookups count", o.Kind)
		}
	})
}

func TestACallWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := limited()
		settings.QueueWait = time.Second
		s := says(approved())
		g := guard(t, s, settings)
		began := time.Now()
		kinds := make(chan messages.OutcomeKind, 10)
		var calls sync.WaitGroup
		repeat(10, func() {
			calls.Go(func() { kinds <- g.Do(t.Context(), authorization()).Kind })
		})
		calls.Wait()
		close(kinds)
		got := map[messages.OutcomeKind]int{}
		for kind := range kinds {
			got[kind]++
		}
		// At once, after half a second and after a whole one.
		want := map[messages.OutcomeKind]int{messages.OutcomeSucceeded: 3, messages.OutcomeNotSent: 7}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("the last call had its turn after %s, want a second", waited)
		}
	})
}

// TestOursEachKindHasARateOfItsOwn holds that captures do not use up the rate of authorizations,
// and that all of them keep the rate of the gateway.
func TestOursEachKindHasARateOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := limited()
		settings.Rate = gateway.Rate{PerSecond: 1000, PerKind: 2}
		g := guard(t, says(approved()), settings)
		capture := authorization()
		capture.Kind = messages.OperationCapture
		for name, ask := range map[string]func() messages.Outcome{
			"authorize": func() messages.Outcome { return g.Do(t.Context(), authorization()) },
			"capture":   func() messages.Outcome { return g.Do(t.Context(), capture) },
			"lookup":    func() messages.Outcome { return g.Lookup(t.Context(), authorization()) },
		} {
			if o := ask(); o.Kind != messages.OutcomeSucceeded {
				t.Errorf("the first %s is %+v", name, o)
			}
			if o := ask(); o.Rest != messages.RestLocal || o.RetryAfter != 500*time.Millisecond {
				t.Errorf("the second %s is %+v, want it half a second later", name, o)
			}
			pass(time.Millisecond)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		settings := limited()
		settings.Rate.PerKind = 1000
		g := guard(t, says(approved()), settings)
		g.Do(t.Context(), authorization())
		pass(100 * time.Millisecond)
		if o := g.Lookup(t.Context(), authorization()); o.Rest != messages.RestLocal {
			t.Errorf("a lookup beyond the rate of the gateway is %+v", o)
		}
	})
}

func TestABurstMayFollowARest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := limited()
		settings.Rate.Burst = 5
		s := says(approved())
		g := guard(t, s, settings)
		repeat(2, func() {
			repeat(20, func() { g.Do(t.Context(), authorization()) })
			pass(time.Minute)
		})
		if s.calls() != 10 {
			t.Errorf("the gateway was called %d times, want 5 times after each rest", s.calls())
		}
	})
}

func TestQuickTriesCountToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := limited()
		settings.Retry.TriesMax = 3
		s := says(unknown(), approved())
		o := guard(t, s, settings).Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeUnknown || o.Tries != 1 || o.RetryAfter == 0 || s.calls() != 1 {
			t.Errorf("outcome is %+v after %d calls, want unknown after the one that had its turn, to be tried again", o, s.calls())
		}
	})
}

func TestGivingUpInTheQueueIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := limited()
		settings.QueueWait = time.Minute
		s := says(approved())
		g := guard(t, s, settings)
		g.Do(t.Context(), authorization())
		ctx, cancel := context.WithCancel(t.Context())
		var call sync.WaitGroup
		call.Go(func() {
			if o := g.Do(ctx, authorization()); o.Kind != messages.OutcomeNotSent || o.Tries != 0 {
				t.Errorf("outcome is %+v, want not_sent without a try", o)
			}
		})
		synctest.Wait()
		cancel()
		call.Wait()
		// The turn that was given up is another's.
		began := time.Now()
		if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded || time.Since(began) != 500*time.Millisecond {
			t.Errorf("outcome is %s after %s, want succeeded after half a second", o.Kind, time.Since(began))
		}
	})
}

func TestRetryAfterPausesTheWholeGateway(t *testing.T) {
	t.Parallel()
	for _, kind := range []messages.OutcomeKind{messages.OutcomeUnknown, messages.OutcomeNotSent} {
		for name, c := range map[string]struct{ asked, want time.Duration }{
			"as long as it asks":   {30 * time.Second, 30 * time.Second},
			"a minute at the most": {24 * time.Hour, time.Minute},
		} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { pausesTheWholeGateway(t, busy(kind, c.asked), c.want) })
			})
		}
	}
}

func pausesTheWholeGateway(t *testing.T, answer messages.Outcome, want time.Duration) {
	answer.Rest = messages.RestGateway
	s := says(answer, approved())
	g := guard(t, s, oneTry())
	if o := g.Do(t.Context(), authorization()); o.Kind != answer.Kind || o.Tries != 1 || o.RetryAfter != answer.RetryAfter {
		t.Errorf("the answer became %+v, want it as it was", o)
	}
	if until := g.Status().RateLimitedUntil; !until.Equal(time.Now().Add(want)) {
		t.Errorf("left alone until %s, want for %s", until, want)
	}
	pass(10 * time.Second)
	repeat(100, func() {
		o := g.Do(t.Context(), authorization())
		if o.Kind != messages.OutcomeNotSent || o.Tries != 0 || o.RetryAfter != want-10*time.Second {
			t.Fatalf("outcome is %+v, want not_sent without a try, to be tried again in %s", o, want-10*time.Second)
		}
	})
	if l := g.Lookup(t.Context(), authorization()); l.Kind != messages.OutcomeUnknown || l.Tries != 0 || l.RetryAfter == 0 {
		t.Errorf("lookup is %+v, want unknown without a try, to be asked again", l)
	}
	if g.State() != gateway.StateClosed || s.calls() != 1 {
		t.Errorf("the breaker is %s after %d calls, want closed after one", g.State(), s.calls())
	}
	pass(want - 10*time.Second)
	if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
		t.Errorf("outcome after the pause is %s, want succeeded", o.Kind)
	}
	if until := g.Status().RateLimitedUntil; !until.IsZero() {
		t.Errorf("left alone until %s, though the pause is over", until)
	}
}

func TestALaterAnswerDoesNotShortenAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &scripted{script: []func(context.Context) messages.Outcome{
			func(context.Context) messages.Outcome {
				<-release
				return busy(messages.OutcomeNotSent, time.Second)
			},
			func(context.Context) messages.Outcome { return busy(messages.OutcomeNotSent, 20*time.Second) },
		}}
		g := guard(t, s, oneTry())
		var slow sync.WaitGroup
		slow.Go(func() { g.Do(t.Context(), authorization()) })
		synctest.Wait()
		g.Do(t.Context(), authorization())
		close(release)
		slow.Wait()
		if o := g.Do(t.Context(), authorization()); o.RetryAfter != 20*time.Second {
			t.Errorf("to be tried again in %s, want 20 s", o.RetryAfter)
		}
	})
}

// TestBusyIsNotAFault holds that a gateway that sheds load is given rest, and is not taken for one
// that is down.
func TestBusyIsNotAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, says(busy(messages.OutcomeUnknown, time.Millisecond)), oneTry())
		repeat(50, func() {
			g.Do(t.Context(), authorization())
			pass(time.Millisecond)
		})
		if s := g.Status(); s.State != gateway.StateClosed || s.Failures != 0 || s.Tries != 0 {
			t.Errorf("status is %+v, want closed with nothing counted", s)
		}
	})
}

// TestAProbeThatMeetsABusyGatewayIsNotLost holds that a half-open breaker can still close after its
// probes were sent away.
func TestAProbeThatMeetsABusyGatewayIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := says(unknown(), unknown(), unknown(), unknown(), busy(messages.OutcomeUnknown, time.Second),
			busy(messages.OutcomeUnknown, time.Second), busy(messages.OutcomeUnknown, time.Second), approved())
		g := guard(t, s, oneTry())
		repeat(4, func() { g.Do(t.Context(), authorization()) })
		pass(6 * time.Second)
		repeat(3, func() {
			g.Do(t.Context(), authorization())
			pass(time.Second)
		})
		if g.State() != gateway.StateHalfOpen {
			t.Fatalf("the breaker is %s, want half_open: the gateway was only busy", g.State())
		}
		repeat(2, func() { g.Do(t.Context(), authorization()) })
		if g.State() != gateway.StateClosed {
			t.Errorf("the breaker is %s after its probes succeeded, want closed", g.State())
		}
	})
}

func TestAnOpenBreakerUsesUpNoRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := oneTry()
		settings.Rate = gateway.Rate{PerSecond: 0.1, Burst: 5}
		g := guard(t, says(unknown(), unknown(), unknown(), unknown(), approved()), settings)
		repeat(4, func() { g.Do(t.Context(), authorization()) })
		repeat(100, func() {
			if o := g.Do(t.Context(), authorization()); o.RetryAfter != 5*time.Second {
				t.Fatalf("outcome is %+v, want the breaker's refusal", o)
			}
		})
		pass(5*time.Second + time.Nanosecond)
		if o := g.Do(t.Context(), authorization()); o.Kind != messages.OutcomeSucceeded {
			t.Errorf("the probe is %+v, want succeeded: one call was left", o)
		}
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		made := time.Now()
		release := make(chan struct{})
		slow := func(context.Context) messages.Outcome {
			<-release
			return approved()
		}
		s := says(approved(), unknown(), declined("lost_card"))
		s.script = append(s.script, slow)
		settings := oneTry()
		settings.ConcurrencyMax = 7
		g := guard(t, s, settings)
		repeat(3, func() { g.Do(t.Context(), authorization()) })
		var call sync.WaitGroup
		call.Go(func() { g.Do(t.Context(), authorization()) })
		synctest.Wait()
		want := gateway.Status{
			Gateway: "acquirer", State: gateway.StateClosed, Since: made, Tries: 3, Failures: 1, InFlight: 1, ConcurrencyMax: 7,
		}
		if diff := cmp.Diff(want, g.Status()); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		close(release)
		call.Wait()

		// Old tries are forgotten.
		pass(time.Minute)
		if s := g.Status(); s.Tries != 0 || s.Failures != 0 || s.InFlight != 0 {
			t.Errorf("status after a minute of nothing is %+v", s)
		}
	})
}

func TestStatusOfAnOpenBreakerTellsWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard(t, says(approved(), unknown()), oneTry())
		pass(time.Second)
		repeat(4, func() { g.Do(t.Context(), authorization()) })
		opened := time.Now()
		pass(time.Second)
		if s := g.Status(); s.State != gateway.StateOpen || s.Tries != 4 || s.Failures != 3 || !s.Since.Equal(opened) {
			t.Errorf("status is %+v, want open since %s after 3 failures of 4 tries", s, opened)
		}
		pass(5 * time.Second)
		if s := g.Status(); s.State != gateway.StateHalfOpen || s.Failures != 3 || !s.Since.Equal(time.Now()) {
			t.Errorf("status is %+v, want half_open since now, for the same reason", s)
		}
	})
}
