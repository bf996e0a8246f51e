package worker_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// These are bugs that other payment systems had, as their issue trackers tell them. Each happens
// here on the whole system, and must come out right.

// juspay/hyperswitch#13182: two concurrent refunds of 60.00 on 100.00 both succeed.
func TestBugTwoConcurrentRefunds(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	s.worker()
	for range 10 {
		id := newID()
		// The first refund is still at the gateway when the second is decided.
		s.expect(s.outcome(id, "create-"+id.String(), create("sim_slow_150@refund")), messages.EventPaymentCaptured)
		refunds := [2]messages.Command{}
		for i := range refunds {
			refunds[i] = s.publish(id, uuid.NewString(), &messages.Refund{AmountMinor: amount(6000)})
		}
		ends := map[messages.EventType]int{}
		for _, r := range refunds {
			ends[s.await(r).Type()]++
		}
		if ends[messages.EventRefundSucceeded] != 1 || ends[messages.EventCommandRejected] != 1 {
			t.Fatalf("%v", ends)
		}
	}
	s.settled()
	s.verify()
}

// killbill/killbill#1015: the outcome is unknown, the customer pays again, and then the first
// payment is completed.
func TestBugPaidAgainWhileUnknown(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	id := newID()
	first := s.publish(id, "create", create("sim_charge_then_timeout"))
	servers.Eventually(t, "the outcome is unknown", func() bool {
		p, err := s.store.Get(t.Context(), "acme", id)
		return err == nil && (p.Status == messages.StatusUnknown || p.Status == messages.StatusCaptured)
	})
	again := s.outcome(id, "again", &messages.Confirm{PaymentMethod: "pm_card_visa"})
	s.expect(again, messages.EventCommandRejected)
	s.expect(s.await(first), messages.EventPaymentCaptured)
	if entries := s.sim.Ledger(); len(entries) != 1 {
		t.Fatalf("%d effects", len(entries))
	}
	s.verify()
}

// juspay/hyperswitch#2380: payments that timed out are failed by a timer. And #3675: one is stuck
// for ever because the gateway's "order does not exist" was ignored.
func TestBugTimedOutPaymentsAreFailedOrStuck(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) {
		s.gateway = answers{
			do:     func(messages.Operation) messages.Outcome { return messages.Outcome{Kind: messages.OutcomeUnknown} },
			lookup: func(messages.Operation) messages.Outcome { return messages.Outcome{Kind: messages.OutcomeNotFound} },
		}
	})
	s.worker()
	id := newID()
	s.expect(s.outcome(id, "create", create("pm")), messages.EventPaymentReviewOpened)
	for _, e := range s.history(id) {
		if e.Type() == messages.EventPaymentFailed || e.Type() == messages.EventPaymentDeclined {
			t.Fatalf("guessed: %s", e.Type())
		}
	}
	resolve := &messages.Resolve{OperationID: id.String() + "-1", Outcome: messages.ResolvedFailed, Actor: "ada", Reason: "not in the statement"}
	s.outcome(id, "resolve", resolve)
	if p := s.get(id); p.Status != messages.StatusFailed || p.FailureCode != messages.FailureResolvedFailed {
		t.Fatalf("%s %s", p.Status, p.FailureCode)
	}
	s.settled()
	s.verify()
}

// answers is a gateway whose answers to operations and to lookups a test gives.
type answers struct {
	do, lookup func(messages.Operation) messages.Outcome
}

func (a answers) Do(_ context.Context, op messages.Operation) messages.Outcome { return a.do(op) }

func (a answers) Lookup(_ context.Context, op messages.Operation) messages.Outcome {
	return a.lookup(op)
}

// juspay/hyperswitch-prism#1658: "server busy", in answer to a status query, overwrites an
// authorized payment.
func TestBugBusyOverwritesAPayment(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := setup(t, func(s *system) {
		s.gateway = answers{
			do: func(op messages.Operation) messages.Outcome {
				if op.Kind == messages.OperationRefund {
					return messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "re"}
				}
				return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw", AmountMinor: op.AmountMinor}
			},
			lookup: func(op messages.Operation) messages.Outcome {
				if asked.Add(1) < 5 {
					return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "server busy"}
				}
				return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "re", AmountMinor: op.AmountMinor}
			},
		}
	})
	s.worker()
	id := newID()
	s.outcome(id, "create", create("pm"))
	s.expect(s.outcome(id, "refund", &messages.Refund{}), messages.EventRefundSucceeded)
	for _, e := range s.history(id) {
		switch e.Status {
		case messages.StatusFailed, messages.StatusUnknown, messages.StatusReview:
			t.Errorf("busy made the payment %s", e.Status)
		default:
		}
	}
	s.settled()
	s.verify()
}

// killbill/killbill#364: a crash leaves an unknown outcome without an event, so that recovery never
// starts. Here it is found by TestAWorkerThatDiesAfterTheChargeIsTakenOver through the command, and
// by TestAnAbandonedOperationIsSwept without it.

// killbill/killbill#1599: recovery races the live payment, and both complete it.
func TestBugRecoveryRacesTheLivePayment(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.Policy.SentStale = 200 * time.Millisecond })
	// Every answer comes long after the sweep has taken the operation for abandoned.
	slow := gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
		o := s.sim.Do(ctx, op)
		wait := time.NewTimer(time.Second)
		defer wait.Stop()
		<-wait.C
		return o
	})
	s.worker(func(p *worker.Parts, _ *worker.Config) { p.Gateways = set(t, slow, time.Minute) })
	var cmds []messages.Command
	for range 20 {
		cmds = append(cmds, s.publish(newID(), "", create("pm_card_visa")))
	}
	for _, cmd := range cmds {
		s.expect(s.await(cmd), messages.EventPaymentCaptured)
		if p := s.get(cmd.PaymentID); p.CapturedMinor != 10000 || len(p.Operations) != 1 {
			t.Fatalf("captured %d in %d operations", p.CapturedMinor, len(p.Operations))
		}
	}
	if entries := s.sim.Ledger(); len(entries) != len(cmds) {
		t.Fatalf("%d effects for %d payments", len(entries), len(cmds))
	}
	s.verify()
}

// killbill/killbill#333 and #334: captured more than authorized, refunded more than captured. The
// gateway has no limits of its own and takes its time, so that only Tender's reservations stand
// between a burst of commands and the money.
func TestBugBeyondTheLimits(t *testing.T) {
	t.Parallel()
	var captured, refunded atomic.Int64
	limitless := gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
		wait(ctx, 100*time.Millisecond)
		switch op.Kind {
		case messages.OperationCapture:
			captured.Add(op.AmountMinor)
		case messages.OperationRefund:
			refunded.Add(op.AmountMinor)
		default:
		}
		return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw", AmountMinor: op.AmountMinor}
	})
	s := setup(t, func(s *system) { s.gateway = limitless })
	s.worker()
	s.worker()
	id := newID()
	body := create("pm")
	body.CaptureMethod = messages.CaptureManualMultiple
	s.expect(s.outcome(id, "create", body), messages.EventPaymentAuthorized)
	s.burst(id, func() messages.CommandBody { return &messages.Capture{AmountMinor: amount(1500)} })
	s.burst(id, func() messages.CommandBody { return &messages.Refund{AmountMinor: amount(1300)} })
	p := s.get(id)
	if p.CapturedMinor != 9000 || p.RefundedMinor != 7800 {
		t.Errorf("here captured %d, refunded %d", p.CapturedMinor, p.RefundedMinor)
	}
	if captured.Load() != 9000 || refunded.Load() != 7800 {
		t.Errorf("at the gateway captured %d, refunded %d", captured.Load(), refunded.Load())
	}
	s.verify()
}

// wait takes its time, unless ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// burst publishes 20 commands at once and waits for all their outcomes.
func (s *system) burst(id uuid.UUID, body func() messages.CommandBody) {
	s.t.Helper()
	var cmds [20]messages.Command
	var publishing sync.WaitGroup
	for i := range cmds {
		publishing.Go(func() { cmds[i] = s.publish(id, uuid.NewString(), body()) })
	}
	publishing.Wait()
	for _, cmd := range cmds {
		s.await(cmd)
	}
}

// blnkfinance/blnk#374: a refund that is repeated is answered as a duplicate, and applied again.
func TestBugARepeatedRefundIsAppliedAgain(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	id := newID()
	s.outcome(id, "create", create("pm_card_visa"))
	s.expect(s.outcome(id, "refund", &messages.Refund{AmountMinor: amount(1000)}), messages.EventRefundSucceeded)
	for range 5 {
		s.raw("payments.cmd.acme.refund."+id.String(), &messages.Refund{AmountMinor: amount(1000)},
			"Idempotency-Key", "refund", "Nats-Msg-Id", uuid.NewString())
	}
	s.settled()
	if p := s.get(id); p.RefundedMinor != 1000 {
		t.Fatalf("refunded %d", p.RefundedMinor)
	}
	s.verify()
}

// blnkfinance/blnk#73 and killbill/killbill#494: amounts go through floats and percentages, and are
// rounded.
func TestBugRoundedAmounts(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	for _, minor := range []int64{1, 3, 1999, 70368744177663 / 1000, messages.AmountMinorMax} {
		id := newID()
		body := create("pm_card_visa")
		body.AmountMinor = minor
		s.expect(s.outcome(id, "", body), messages.EventPaymentCaptured)
		totals, _ := s.sim.Snapshot().Payment(id)
		if p := s.get(id); p.CapturedMinor != minor || totals.CapturedMinor != minor {
			t.Errorf("%d: captured %d here and %d there", minor, p.CapturedMinor, totals.CapturedMinor)
		}
	}
	s.verify()
}

// notify says what the gateway says of its own accord about the payment's first operation.
func (s *system) notify(id uuid.UUID, event string, n messages.Notify) messages.Command {
	s.t.Helper()
	n.Gateway, n.EventID, n.OperationID = "primary", event, id.String()+"-1"
	return s.publish(id, "primary:"+event, &n)
}

// juspay/hyperswitch#2916: a webhook that beats the create's response is lost, or breaks the
// payment.
func TestBugWebhookBeatsTheResponse(t *testing.T) {
	t.Parallel()
	s := setup(t)
	told := make(chan struct{})
	s.worker(func(p *worker.Parts, _ *worker.Config) {
		p.Gateways = set(t, gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
			o := s.sim.Do(ctx, op)
			<-told
			return o
		}), time.Minute)
	})
	id := newID()
	created := s.publish(id, "create", create("pm_card_visa"))
	servers.Eventually(t, "it is charged", func() bool { return len(s.sim.Ledger()) == 1 })
	s.notify(id, "evt_1", messages.Notify{Kind: messages.NotifyOutcome, Outcome: messages.OutcomeSucceeded, GatewayReference: "gw_1", AmountMinor: 10000})
	s.expect(s.await(created), messages.EventPaymentCaptured)
	close(told)
	s.settled()
	if got := types(s.history(id)); len(got) != 3 {
		t.Fatalf("%v", got)
	}
	s.verify()
}

// juspay/hyperswitch#10340: a stale webhook overwrites a terminal state.
func TestBugStaleWebhookOverATerminalState(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	id := newID()
	s.outcome(id, "create", create("pm_card_visa"))
	before := types(s.history(id))
	for i, stale := range []messages.Notify{
		{Kind: messages.NotifyOutcome, Outcome: messages.OutcomePending},
		{Kind: messages.NotifyOutcome, Outcome: messages.OutcomeDeclined, DeclineCode: "do_not_honor"},
		{Kind: messages.NotifyOutcome, Outcome: messages.OutcomeRequiresAction, NextActionType: "redirect"},
	} {
		s.notify(id, "evt_"+string(rune('a'+i)), stale)
	}
	s.settled()
	if p := s.get(id); p.Status != messages.StatusCaptured || len(s.history(id)) != len(before) {
		t.Fatalf("%s: %v", p.Status, types(s.history(id)))
	}
	s.verify()
}

// killbill/killbill#351: card numbers end up in the retry table.
func TestBugCardNumbersAreKept(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	const pan = "4111111111111111"
	id := newID()
	for i, body := range []string{
		`{"amount_minor":100,"currency":"EUR","payment_method":"` + pan + `"}`,
		`{"amount_minor":100,"currency":"EUR","payment_method":"pm_card_visa","metadata":{"card":"4111-1111-1111-1111"}}`,
		`not json at all: ` + pan,
	} {
		s.raw("payments.cmd.acme.create."+id.String(), []byte(body), "Nats-Msg-Id", "pan-"+string(rune('a'+i)))
	}
	s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_visa"), "Nats-Msg-Id", pan)
	s.settled()
	for _, table := range []string{"payments", "payment_events", "commands", "timers", "outbox"} {
		var kept int
		if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table+` t WHERE replace(t::text, '-', '') LIKE '%`+pan+`%'`).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if kept > 0 {
			t.Errorf("%d rows of %s hold a card number", kept, table)
		}
	}
	letters := s.letters()
	if len(letters) != 4 {
		t.Fatalf("%d dead letters", len(letters))
	}
	for _, l := range letters {
		if strings.Contains(strings.ReplaceAll(string(l.Body)+l.Detail+l.Headers.Get("Nats-Msg-Id"), "-", ""), pan) {
			t.Errorf("a dead letter holds a card number: %+v", l)
		}
	}
	if s.keeps(pan) || s.keeps("4111-1111-1111-1111") {
		t.Error("the stream of commands keeps a card number")
	}
}

// juspay/hyperswitch-docs#272: the status expired is declared, and never set.
func TestBugExpiredIsNeverSet(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) {
		s.gateway = answers{do: func(op messages.Operation) messages.Outcome {
			o := messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw", AmountMinor: op.AmountMinor}
			if op.Kind == messages.OperationAuthorize {
				o.CaptureBefore = time.Now().Add(300 * time.Millisecond)
			}
			return o
		}}
	})
	s.worker()
	id := newID()
	body := create("pm")
	body.CaptureMethod = messages.CaptureManual
	s.expect(s.outcome(id, "create", body), messages.EventPaymentAuthorized)
	servers.Eventually(t, "the payment expires", func() bool { return s.get(id).Status == messages.StatusExpired })
	rejected := s.expect(s.outcome(id, "late", &messages.Capture{}), messages.EventCommandRejected)
	if r := rejected.Data.(*messages.CommandRejected); r.Code != messages.RejectAuthorizationExpired {
		t.Fatalf("%+v", r)
	}
	s.verify()
}
