package worker_test

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// behind puts gateways behind guards that give up soon.
func behind(t *testing.T, gateways map[string]gateway.Gateway) *gateway.Set {
	t.Helper()
	var guards []*gateway.Guard
	for name, g := range gateways {
		guard, err := gateway.NewGuard(name, g, gateway.Settings{
			Timeouts: gateway.Timeouts{
				Authorize: 500 * time.Millisecond, Capture: 500 * time.Millisecond, Void: 500 * time.Millisecond,
				Refund: 500 * time.Millisecond, Lookup: 500 * time.Millisecond,
			},
			Breaker: gateway.Breaker{RequestsMin: 1000},
			Retry:   gateway.Retry{TriesMax: 2, Initial: time.Millisecond, Max: 5 * time.Millisecond, Total: 100 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		guards = append(guards, guard)
	}
	set, err := gateway.NewSet(guards...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// simulator is one more gateway with a ledger of its own.
func newSimulator(t *testing.T) *simulator.Simulator {
	t.Helper()
	s, err := simulator.New(simulator.Config{Config: sim.Config{Hang: 2 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// closedPort is a gateway over HTTP at an address that refuses connections.
func closedPort(t *testing.T) gateway.Gateway {
	t.Helper()
	var listening net.ListenConfig
	listener, err := listening.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := httpgw.New(httpgw.Config{URL: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// toPrimaryFirst are rules that send everything to the primary, with the second to turn to.
func toPrimaryFirst(t *testing.T, failover string) *routing.Rules {
	t.Helper()
	rules, err := routing.Parse([]byte("version: 1\nrules: [{name: cards, to: [{gateway: primary}], failover: {"+failover+"}}]"),
		routing.SharedVault("primary", "second"))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// routes lists where a payment was sent, in order, and why.
func routes(history []messages.Event) (all []messages.PaymentRouted) {
	for _, e := range history {
		if d, ok := e.Data.(*messages.PaymentRouted); ok {
			all = append(all, *d)
		}
	}
	return all
}

func charges(s *simulator.Simulator) (n int) {
	for _, entry := range s.Ledger() {
		if entry.Kind == messages.OperationAuthorize {
			n++
		}
	}
	return n
}

// failOverSystem is a system with two gateways: the simulator of the system is the second.
func failOverSystem(t *testing.T, primary gateway.Gateway, failover string) *system {
	t.Helper()
	s := setup(t)
	s.worker(func(p *worker.Parts, _ *worker.Config) {
		p.Gateways = behind(t, map[string]gateway.Gateway{"primary": primary, "second": s.sim})
		p.Router = toPrimaryFirst(t, failover)
	})
	return s
}

func TestAPaymentTurnsToAnotherGatewayWhenTheFirstWasNotReached(t *testing.T) {
	t.Parallel()
	s := failOverSystem(t, closedPort(t), "to: [second]")
	id := newID()
	s.expect(s.outcome(id, "create", create("pm_card_visa")), messages.EventPaymentCaptured)
	if p := s.get(id); p.Gateway != "second" || p.CapturedMinor != 10000 {
		t.Fatalf("%+v", p)
	}
	got := routes(s.history(id))
	want := []messages.PaymentRouted{
		{Attempt: messages.Attempt{OperationID: id.String() + "-1", Gateway: "primary", Attempt: 1}, Rule: "cards", AmountMinor: 10000, PaymentMethod: "pm_card_visa"},
		{
			Attempt: messages.Attempt{OperationID: id.String() + "-2", Gateway: "second", Attempt: 1}, Rule: "cards", AmountMinor: 10000, PaymentMethod: "pm_card_visa",
			PreviousOperationID: id.String() + "-1", Reason: messages.FailoverNotSent,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if !slices.Contains(types(s.history(id)), messages.EventOperationNotSent) {
		t.Errorf("the attempt that was not sent is not in the history: %v", types(s.history(id)))
	}
	// What follows goes to the gateway that has the money.
	s.expect(s.outcome(id, "refund", &messages.Refund{}), messages.EventRefundSucceeded)
	if n := charges(s.sim); n != 1 {
		t.Errorf("charged %d times", n)
	}
	s.settled()
	s.verify()
}

// The commit of a decline that leads to the next gateway is written, and its answer is lost: the
// call is made all the same, and at once. It was left to the sweep.
func TestAFailoverSurvivesTheLossOfItsCommitsAnswer(t *testing.T) {
	t.Parallel()
	declines := answers{do: func(messages.Operation) messages.Outcome {
		d := gateway.ClassifyDecline("do_not_honor", "", "")
		return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &d}
	}}
	s := setup(t, func(s *system) { s.cfg.Policy.SentStale = time.Hour }) // the sweep doesn't come
	dialer := faulty.NewDialer()
	t.Cleanup(dialer.Close)
	config := s.pool.Config()
	config.ConnConfig.DialFunc = dialer.DialContext
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	st := store.New(pool, store.Config{}, s.log)
	t.Cleanup(st.Close)
	lost := dialer.Arm(faulty.Trap{Match: faulty.CommitWith(string(messages.EventOperationDeclined)), Drop: true, Reply: faulty.Committed()})
	s.worker(func(p *worker.Parts, _ *worker.Config) {
		p.Store, p.Router = st, toPrimaryFirst(t, "to: [second], on_decline: true")
		p.Gateways = behind(t, map[string]gateway.Gateway{"primary": declines, "second": s.sim})
	})
	id := newID()
	s.expect(s.outcome(id, "create", create("pm_card_visa")), messages.EventPaymentCaptured)
	select {
	case <-lost.Fired():
	default:
		t.Error("no answer was lost")
	}
	if n := charges(s.sim); n != 1 {
		t.Errorf("charged %d times", n)
	}
	s.settled()
	s.verify()
}

// TestAnUnknownOutcomeNeverTurnsToAnotherGateway holds it against rules that ask for everything
// there is to ask for.
func TestAnUnknownOutcomeNeverTurnsToAnotherGateway(t *testing.T) {
	t.Parallel()
	first := newSimulator(t)
	s := failOverSystem(t, first, "to: [second], on_decline: true")
	for _, method := range []string{"sim_charge_then_timeout", "sim_timeout_no_charge", "sim_reset_mid_response", "sim_500_after_charge"} {
		id := newID()
		s.outcome(id, method, create(method))
		if got := routes(s.history(id)); len(got) != 1 || got[0].Gateway != "primary" {
			t.Errorf("%s: routed %+v", method, got)
		}
	}
	if n := charges(s.sim); n != 0 {
		t.Errorf("the second gateway charged %d times", n)
	}
	for _, op := range first.Snapshot().Operations {
		if op.Effects > 1 {
			t.Errorf("operation %s had %d effects", op.OperationID, op.Effects)
		}
	}
	s.settled()
	s.verify()
}

// TestADeclineTurnsToAnotherGatewayWhereTheRuleAllowsIt also holds that some declines are final
// under any rule.
func TestADeclineTurnsToAnotherGatewayWhereTheRuleAllowsIt(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		code, failover string
		want           []string
		end            messages.EventType
	}{
		{"do_not_honor", "to: [second]", []string{"primary"}, messages.EventPaymentDeclined},
		{"do_not_honor", "to: [second], on_decline: true", []string{"primary", "second"}, messages.EventPaymentCaptured},
		{"do_not_honor", "to: [], on_decline: true", []string{"primary"}, messages.EventPaymentDeclined},
		{"lost_card", "to: [second], on_decline: true", []string{"primary"}, messages.EventPaymentDeclined},
		{"incorrect_cvc", "to: [second], on_decline: true", []string{"primary"}, messages.EventPaymentDeclined},
	} {
		s := failOverSystem(t, answers{do: func(messages.Operation) messages.Outcome {
			d := gateway.ClassifyDecline(row.code, "", "")
			return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &d}
		}}, row.failover)
		id := newID()
		s.expect(s.outcome(id, "create", create("pm_card_visa")), row.end)
		var got []string
		for _, r := range routes(s.history(id)) {
			got = append(got, r.Gateway)
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s with failover %s: routed to %v, want %v", row.code, row.failover, got, row.want)
		}
		if n := charges(s.sim); n != len(row.want)-1 {
			t.Errorf("%s with failover %s: the second gateway charged %d times", row.code, row.failover, n)
		}
		s.settled()
		s.verify()
	}
}
