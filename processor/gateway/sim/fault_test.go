package sim_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// bothForms runs a test in process and over HTTP.
func bothForms(t *testing.T, c sim.Config, test func(t *testing.T, s *sim.Simulator, g gateway.Gateway)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		s := newSimulator(t, c)
		test(t, s, s)
	})
	t.Run("over HTTP", func(t *testing.T) {
		t.Parallel()
		s := newSimulator(t, c)
		test(t, s, overHTTP(t, s))
	})
}

// pass lets time go by on a bubble's clock.
func pass(d time.Duration) { <-time.After(d) }

// patient asks until the simulator has taken the request in, and no longer if it hangs.
func patient(ctx context.Context, t *testing.T, s *sim.Simulator, g gateway.Gateway, op messages.Operation) messages.Outcome {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan messages.Outcome, 1)
	go func() { answered <- g.Do(ctx, op) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case o := <-answered:
			return o
		case <-tick.C:
			if count, _ := s.Snapshot().Operation(op.ID); count.Requests == 1 {
				cancel()
				return <-answered
			}
		}
	}
}

func effects(s *sim.Simulator, op messages.Operation) int {
	count, _ := s.Snapshot().Operation(op.ID)
	return count.Effects
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for token, c := range map[string]struct {
		first messages.OutcomeKind
		// effects and lookup are what is true after the first request.
		effects int
		lookup  messages.OutcomeKind
		hangs   bool
	}{
		"sim_charge_then_timeout": {messages.OutcomeUnknown, 1, messages.OutcomeSucceeded, true},
		"sim_timeout_no_charge":   {messages.OutcomeUnknown, 0, messages.OutcomeNotFound, true},
		"sim_reset_mid_response":  {messages.OutcomeUnknown, 1, messages.OutcomeSucceeded, false},
		"sim_500_after_charge":    {messages.OutcomeUnknown, 1, messages.OutcomeSucceeded, false},
		"sim_500_no_charge":       {messages.OutcomeUnknown, 0, messages.OutcomeNotFound, false},
		"sim_429":                 {messages.OutcomeUnknown, 0, messages.OutcomeNotFound, false},
		"sim_dial_error":          {messages.OutcomeNotSent, 0, messages.OutcomeNotFound, false},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			bothForms(t, sim.Config{Hang: time.Minute}, func(t *testing.T, s *sim.Simulator, g gateway.Gateway) {
				ask := g.Do
				if c.hangs {
					ask = func(ctx context.Context, op messages.Operation) messages.Outcome { return patient(ctx, t, s, g, op) }
				}
				op := gatewaytest.NewPayment().Charge(token, 1999)
				gatewaytest.Want(t, ask(t.Context(), op), c.first)
				if got := effects(s, op); got != c.effects {
					t.Errorf("%d effects after the first request, want %d", got, c.effects)
				}
				gatewaytest.Want(t, g.Lookup(t.Context(), op), c.lookup)
				replay := g.Do(t.Context(), op)
				gatewaytest.Want(t, replay, messages.OutcomeSucceeded)
				if replay.AmountMinor != 1999 || effects(s, op) != 1 {
					t.Errorf("the replay says %d and left %d effects, want 1999 and one", replay.AmountMinor, effects(s, op))
				}
			})
		})
	}
}

func TestFaultsOnLaterOperations(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, s *sim.Simulator, g gateway.Gateway) {
		for _, kind := range []messages.OperationKind{
			messages.OperationAuthorize, messages.OperationConfirm, messages.OperationCapture, messages.OperationVoid, messages.OperationRefund,
		} {
			p := gatewaytest.NewPayment()
			do := func(op messages.Operation) messages.Outcome {
				t.Helper()
				want := messages.OutcomeSucceeded
				switch {
				case op.Kind == kind:
					gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeUnknown)
				case op.Kind == messages.OperationAuthorize && kind == messages.OperationConfirm:
					want = messages.OutcomeRequiresAction
				}
				o := g.Do(t.Context(), op)
				gatewaytest.Want(t, o, want)
				return o
			}
			p.Reference = do(p.Authorize("sim_500_after_charge@"+string(kind), 1000)).GatewayReference
			if kind == messages.OperationConfirm {
				do(p.Confirm(1000))
			}
			do(p.Capture(600))
			do(p.Void())
			do(p.Refund(200))
			total, _ := s.Snapshot().Payment(p.ID())
			if total.AuthorizedMinor != 1000 || total.CapturedMinor != 600 || total.ReleasedMinor != 400 || total.RefundedMinor != 200 {
				t.Errorf("with a fault on %s the ledger says %+v", kind, total)
			}
		}
	})
}

func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, _ *sim.Simulator, g gateway.Gateway) {
		for _, token := range []string{"sim_500_no_charge_3", "sim_500_after_charge_3", "sim_429_3", "sim_reset_mid_response_3"} {
			op := gatewaytest.NewPayment().Authorize(token, 1000)
			for range 3 {
				gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeUnknown)
			}
			gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
		}
		p := gatewaytest.NewPayment()
		p.Reference = g.Do(t.Context(), p.Authorize("sim_dial_error_2@capture", 1000)).GatewayReference
		capture := p.Capture(1000)
		gatewaytest.Want(t, g.Do(t.Context(), capture), messages.OutcomeNotSent)
		gatewaytest.Want(t, g.Do(t.Context(), capture), messages.OutcomeNotSent)
		gatewaytest.Want(t, g.Do(t.Context(), capture), messages.OutcomeSucceeded)
	})
}

// TestGuardRecovers shows what a Guard makes of the faults of a moment: one effect, and the second try answered.
func TestGuardRecovers(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, s *sim.Simulator, g gateway.Gateway) {
		guarded, err := gateway.NewGuard("sim", g, gateway.Settings{Timeouts: gateway.Timeouts{Authorize: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{"sim_reset_mid_response", "sim_500_after_charge", "sim_500_no_charge", "sim_429", "sim_dial_error"} {
			op := gatewaytest.NewPayment().Charge(token, 1999)
			o := guarded.Do(t.Context(), op)
			gatewaytest.Want(t, o, messages.OutcomeSucceeded)
			if o.Tries != 2 || effects(s, op) != 1 {
				t.Errorf("%s: %d tries and %d effects, want 2 and 1", token, o.Tries, effects(s, op))
			}
		}
	})
}

func TestSlowTakesEffectWithoutItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, sim.Config{})
		op := gatewaytest.NewPayment().Charge("sim_slow_5000", 1999)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gatewaytest.Want(t, s.Do(ctx, op), messages.OutcomeUnknown)
		for name, o := range map[string]messages.Outcome{"lookup": s.Lookup(t.Context(), op), "replay": s.Do(t.Context(), op)} {
			if o.Kind != messages.OutcomeUnknown || !strings.HasPrefix(o.Detail, "in_progress") {
				t.Errorf("the %s meanwhile is %s (%s), want unknown, in progress", name, o.Kind, o.Detail)
			}
		}
		pass(5 * time.Second)
		synctest.Wait()
		gatewaytest.Want(t, s.Lookup(t.Context(), op), messages.OutcomeSucceeded)
		if effects(s, op) != 1 {
			t.Errorf("%d effects, want one", effects(s, op))
		}
	})
}

func TestSlowIsAnsweredInTheEnd(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, _ *sim.Simulator, g gateway.Gateway) {
		gatewaytest.Want(t, g.Do(t.Context(), gatewaytest.NewPayment().Charge("sim_slow_5", 1999)), messages.OutcomeSucceeded)
	})
}

func TestCloseReleasesWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	for token, effectsWanted := range map[string]int{"sim_slow_60000": 0, "sim_charge_then_timeout": 1, "sim_timeout_no_charge": 0} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, err := sim.New(sim.Config{})
				if err != nil {
					t.Fatal(err)
				}
				op := gatewaytest.NewPayment().Charge(token, 1999)
				answered := make(chan messages.Outcome, 1)
				began := time.Now()
				go func() { answered <- s.Do(t.Context(), op) }()
				synctest.Wait()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				<-answered
				if waited := time.Since(began); waited != 0 {
					t.Errorf("released after %s, want at once", waited)
				}
				if effects(s, op) != effectsWanted {
					t.Errorf("%d effects, want %d", effects(s, op), effectsWanted)
				}
				gatewaytest.Want(t, s.Do(t.Context(), op), messages.OutcomeUnknown)
				gatewaytest.Want(t, s.Lookup(t.Context(), op), messages.OutcomeUnknown)
			})
		})
	}
}

func TestHangEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, sim.Config{Hang: time.Second})
		gatewaytest.Want(t, s.Do(t.Context(), gatewaytest.NewPayment().Charge("sim_charge_then_timeout", 1999)), messages.OutcomeSucceeded)
		gatewaytest.Want(t, s.Do(t.Context(), gatewaytest.NewPayment().Charge("sim_timeout_no_charge", 1999)), messages.OutcomeUnknown)
	})
}

func TestWrongAmountIsMovedAndTold(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, s *sim.Simulator, g gateway.Gateway) {
		p := gatewaytest.NewPayment()
		op := p.Charge("sim_wrong_amount", 1999)
		for range 2 {
			if o := g.Do(t.Context(), op); o.Kind != messages.OutcomeSucceeded || o.AmountMinor != 1998 {
				t.Errorf("%s with %d, want succeeded with 1998", o.Kind, o.AmountMinor)
			}
		}
		if total, _ := s.Snapshot().Payment(p.ID()); total.CapturedMinor != 1998 {
			t.Errorf("captured %d, want 1998", total.CapturedMinor)
		}
	})
}
