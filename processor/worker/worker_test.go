package worker_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

func TestACommandBecomesAPaymentAndAnEvent(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	id := newID()
	s.expect(s.outcome(id, "create", create("pm_card_visa")), messages.EventPaymentCaptured)
	s.expect(s.outcome(id, "part", &messages.Refund{AmountMinor: amount(4000)}), messages.EventRefundSucceeded)
	s.expect(s.outcome(id, "rest", &messages.Refund{}), messages.EventRefundSucceeded)
	rejected := s.expect(s.outcome(id, "more", &messages.Refund{}), messages.EventCommandRejected).Data.(*messages.CommandRejected)
	if rejected.Code != messages.RejectNothingToRefund {
		t.Fatalf("%+v", rejected)
	}
	if p := s.get(id); p.Status != messages.StatusRefunded || p.RefundedMinor != 10000 {
		t.Fatalf("%+v", p)
	}
	s.settled()
	s.verify()
}

func TestTheSameKeyChargesOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	id := newID()
	s.expect(s.outcome(id, "order-42", create("pm_card_visa")), messages.EventPaymentCaptured)

	// Past the stream's own window for duplicates the message ids differ, and the key does not.
	for range 3 {
		s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_visa"), "Idempotency-Key", "order-42", "Nats-Msg-Id", uuid.NewString())
	}
	s.settled()
	if got := len(s.history(id)); got != 3 {
		t.Fatalf("%d events: %v", got, types(s.history(id)))
	}

	// The same key with another body is a conflict, recorded once however often it comes.
	for range 2 {
		s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_mastercard"), "Idempotency-Key", "order-42", "Nats-Msg-Id", uuid.NewString())
	}
	s.settled()
	h := s.history(id)
	if len(h) != 4 || h[3].Data.(*messages.CommandRejected).Code != messages.RejectIdempotencyConflict {
		t.Fatalf("%v", types(h))
	}

	// The same create under a fresh payment id is the same create: the first stands, and is named.
	again := newID()
	for range 2 {
		s.raw("payments.cmd.acme.create."+again.String(), create("pm_card_visa"), "Idempotency-Key", "order-42", "Nats-Msg-Id", uuid.NewString())
	}
	s.settled()
	h = s.history(again)
	if len(h) != 1 {
		t.Fatalf("%v", types(h))
	}
	if r := h[0].Data.(*messages.CommandRejected); r.Code != messages.RejectAlreadyProcessed || r.OriginalPaymentID != id {
		t.Fatalf("%+v", r)
	}
	if entries := s.sim.Ledger(); len(entries) != 1 {
		t.Fatalf("the gateway did %d things", len(entries))
	}
	s.verify()
}

// raw publishes as a shell would: a subject, a body, headers.
func (s *system) raw(subject string, body any, headers ...string) {
	s.t.Helper()
	data, isBytes := body.([]byte)
	if !isBytes {
		var err error
		if data, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
	}
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: data}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if _, err := s.js.PublishMsg(s.t.Context(), msg); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) letters() (letters []deadletter.Letter) {
	s.t.Helper()
	err := deadletter.List(s.t.Context(), s.js, deadletter.Filter{}, func(l deadletter.Letter) bool {
		letters = append(letters, l)
		return true
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return letters
}

func TestRubbishBecomesADeadLetterByName(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	id := newID().String()
	const pan = "4111 1111 1111 1111"
	cases := []struct {
		subject, body string
		reason        messages.DecodeCode
	}{
		{"payments.cmd.acme.create." + id, "not json", messages.CodeInvalidJSON},
		{"payments.cmd.acme.create." + id, `{"amount":1}`, messages.CodeUnknownField},
		{"payments.cmd.acme.create." + id, `{"amount_minor":19.99,"currency":"EUR","payment_method":"pm"}`, messages.CodeInvalidField},
		{"payments.cmd.acme.create." + id, `{"amount_minor":1,"currency":"XXX","payment_method":"pm"}`, messages.CodeUnknownCurrency},
		{"payments.cmd.acme.create." + id, `{"amount_minor":0,"currency":"EUR","payment_method":"pm"}`, messages.CodeAmountNotPositive},
		{"payments.cmd.acme.steal." + id, `{}`, messages.CodeUnknownCommand},
		{"payments.cmd.ac$me.create." + id, `{}`, messages.CodeInvalidTenant},
		{"payments.cmd.acme.create.nothing", `{}`, messages.CodeInvalidPaymentID},
		{"payments.cmd.acme", `{}`, messages.CodeInvalidSubject},
		{"payments.cmd.acme.create." + id, strings.Repeat("x", messages.BodySizeMax+1), messages.CodeBodyTooLarge},
		{"payments.cmd.acme.create." + id, `{"amount_minor":1,"currency":"EUR","payment_method":"` + pan + `"}`, messages.CodeCardNumberPresent},
	}
	for i, c := range cases {
		s.raw(c.subject, []byte(c.body), "Nats-Msg-Id", "rubbish-"+c.subject+string(rune('a'+i)))
	}
	s.raw("payments.cmd.acme.create."+id, create("pm_card_visa"))
	s.settled()
	letters := s.letters()
	if len(letters) != len(cases)+1 {
		t.Fatalf("%d dead letters for %d commands", len(letters), len(cases)+1)
	}
	reasons := map[string]int{}
	for _, l := range letters {
		reasons[l.Reason]++
		if strings.Contains(string(l.Body), pan) || l.Detail == "" || l.OriginalSubject == "" || l.Deliveries != 1 {
			t.Errorf("%+v", l)
		}
	}
	for _, c := range cases {
		if reasons[string(c.reason)] == 0 {
			t.Errorf("no dead letter for %s: %v", c.reason, reasons)
		}
	}
	if reasons[string(messages.CodeMissingIdempotencyKey)] != 1 {
		t.Errorf("no dead letter for a missing key: %v", reasons)
	}
	if s.keeps("4111 1111") {
		t.Error("a card number stays in the stream of commands")
	}
	for _, entry := range s.logs.All() {
		for _, field := range entry.Context {
			if strings.Contains(field.String, pan) {
				t.Errorf("a card number is in the log: %s", entry.Message)
			}
		}
	}
	// And the worker goes on.
	s.expect(s.outcome(newID(), "after", create("pm_card_visa")), messages.EventPaymentCaptured)
}

// keeps reports whether a text is anywhere in the stream of commands.
func (s *system) keeps(text string) bool {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), messages.StreamCommands)
	if err != nil {
		s.t.Fatal(err)
	}
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		msg, err := stream.GetMsg(s.t.Context(), seq)
		if err == nil && strings.Contains(string(msg.Data), text) {
			return true
		}
	}
	return false
}

func TestADeadLetterIsRedriven(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.DeliveriesMax = 1 })
	// A worker panics when it calls this gateway; the command is given up at its second delivery.
	stop := s.worker(func(p *worker.Parts, _ *worker.Config) { p.Gateways = panicking(t) })
	id := newID()
	s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_visa"), "Nats-Msg-Id", "order-1")
	servers.Eventually(t, "the command becomes a dead letter", func() bool { return len(s.letters()) == 1 })
	stop()
	s.worker()
	l := s.letters()[0]
	if l.Reason != deadletter.ReasonDeliveriesExhausted || l.Headers.Get("Nats-Msg-Id") != "order-1" {
		t.Fatalf("%+v", l)
	}
	if _, err := deadletter.Redrive(t.Context(), s.js, l.Sequence); err != nil {
		t.Fatal(err)
	}
	s.settled()
	if p := s.get(id); p.Status != messages.StatusCaptured {
		t.Fatalf("%s", p.Status)
	}
	if left := s.letters(); len(left) != 0 {
		t.Fatalf("%d dead letters are left", len(left))
	}
	s.verify()
}

// Bug 1: a command that was delivered many times, and never begun, is not given up.
func TestOursADeliveryThatWasNeverBegunDoesNotCount(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.DeliveriesMax = 2 })
	id := newID()
	s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_visa"), "Nats-Msg-Id", "order-1")
	for range 30 { // As processes that end before they come to it.
		if err := s.fetch().Nak(); err != nil {
			t.Fatal(err)
		}
	}
	s.worker()
	s.settled()
	if p := s.get(id); p.Status != messages.StatusCaptured {
		t.Fatalf("%s, %+v", p.Status, s.letters())
	}
	s.verify()
}

// Bug 1: the only worker stops while commands arrive. None of them is handed back and forth.
func TestOursAGracefulStopLosesNoCommand(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.DeliveriesMax = 3 })
	stop := s.worker()
	ids := s.creates(20)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	for range 50 {
		ids = append(ids, s.creates(1)...)
	}
	<-stopped
	s.worker()
	s.settled()
	if letters := s.letters(); len(letters) != 0 {
		t.Fatalf("%d dead letters, the first: %+v", len(letters), letters[0])
	}
	for _, id := range ids {
		if p := s.get(id); p.Status != messages.StatusCaptured {
			t.Fatalf("%s: %s", id, p.Status)
		}
	}
	s.verify()
}

func TestADeadLetterOfACardNumberIsNotRedriven(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	s.raw("payments.cmd.acme.create."+newID().String(), []byte(`{"payment_method":"4111111111111111"}`), "Nats-Msg-Id", "x")
	s.settled()
	if _, err := deadletter.Redrive(t.Context(), s.js, s.letters()[0].Sequence); err == nil {
		t.Fatal("redriven")
	}
}

func TestAForeignPaymentDoesNotExist(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	id := newID()
	s.outcome(id, "create", create("pm_card_visa"))
	before := len(s.history(id))
	s.raw("payments.cmd.rival.refund."+id.String(), []byte(`{}`), "Nats-Msg-Id", "steal")
	s.raw("payments.cmd.rival.create."+id.String(), create("pm_card_visa"), "Nats-Msg-Id", "squat")
	s.settled()
	if got := s.letters(); len(got) != 2 || got[0].Reason != deadletter.ReasonPaymentNotFound {
		t.Fatalf("%+v", got)
	}
	if len(s.history(id)) != before {
		t.Fatalf("%v", types(s.history(id)))
	}
}

func TestACaptureThatOvertakesItsCreateWaits(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	capture := s.publish(id, "capture", &messages.Capture{})
	s.worker()
	body := create("sim_slow_100")
	body.CaptureMethod = messages.CaptureManual
	s.publish(id, "create", body)
	s.expect(s.await(capture), messages.EventPaymentCaptured)
	s.settled()
	s.verify()
}

func TestACaptureOfNothingIsRefusedInTheEnd(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.Patience = 100 * time.Millisecond })
	s.worker()
	id := newID()
	e := s.expect(s.outcome(id, "capture", &messages.Capture{}), messages.EventCommandRejected)
	if r := e.Data.(*messages.CommandRejected); r.Code != messages.RejectPaymentNotFound || e.Version != 1 {
		t.Fatalf("%+v", r)
	}
	// The refusal stands, and a create may still come.
	s.expect(s.outcome(id, "create", create("pm_card_visa")), messages.EventPaymentCaptured)
	s.verify()
}

func TestFaultsOfTheGatewayEndInOneCharge(t *testing.T) {
	t.Parallel()
	for token, want := range map[string][]messages.EventType{
		"sim_charge_then_timeout": {
			messages.EventPaymentCreated, messages.EventPaymentRouted, messages.EventPaymentOutcomeUnknown,
			messages.EventPaymentOutcomeResolved, messages.EventPaymentCaptured,
		},
		"sim_timeout_no_charge": {
			messages.EventPaymentCreated, messages.EventPaymentRouted, messages.EventPaymentOutcomeUnknown,
			messages.EventPaymentOutcomeResolved, messages.EventPaymentCaptured,
		},
		"sim_500_after_charge": {messages.EventPaymentCreated, messages.EventPaymentRouted, messages.EventPaymentCaptured},
		"sim_wrong_amount": {
			messages.EventPaymentCreated, messages.EventPaymentRouted, messages.EventPaymentCaptured, messages.EventPaymentReviewOpened,
		},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.worker()
			id := newID()
			s.outcome(id, "create", create(token))
			if diff := cmp.Diff(want, types(s.history(id))); diff != "" {
				t.Fatalf("events (-want +got):\n%s", diff)
			}
			if entries := s.sim.Ledger(); len(entries) != 1 {
				t.Fatalf("the gateway did %d things", len(entries))
			}
			s.settled()
			s.verify()
		})
	}
}

func TestNotSentIsRetriedByATimer(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	s := setup(t, func(s *system) {
		s.gateway = gatewayFunc(func(_ context.Context, op messages.Operation) messages.Outcome {
			if tries.Add(1) <= 5 {
				return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "refused"}
			}
			return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw", AmountMinor: op.AmountMinor}
		})
	})
	s.worker()
	id := newID()
	s.expect(s.outcome(id, "create", create("pm")), messages.EventPaymentCaptured)
	if op := s.get(id).Operations[0]; op.Attempt < 2 || op.Tries != 6 {
		t.Fatalf("%+v", op)
	}
	s.settled()
	s.verify()
}

// gatewayFunc makes a gateway of one function, for operations and lookups alike.
type gatewayFunc func(context.Context, messages.Operation) messages.Outcome

func (f gatewayFunc) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	return f(ctx, op)
}

func (f gatewayFunc) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	return f(ctx, op)
}

// A worker is cut short between its two commits, after the gateway has charged: the next one must
// find that out.
func TestAWorkerThatDiesAfterTheChargeIsTakenOver(t *testing.T) {
	t.Parallel()
	s := setup(t)
	charged := make(chan struct{})
	var first sync.Once
	dying := gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
		o := s.sim.Do(ctx, op)
		first.Do(func() { close(charged) })
		<-ctx.Done() // The answer never arrives: the worker is gone.
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: o.Detail}
	})
	s.gateway = dying
	stop := s.worker(func(p *worker.Parts, cfg *worker.Config) {
		cfg.DrainTimeout = time.Millisecond
		p.Gateways = set(t, dying, time.Minute)
	})
	id := newID()
	s.publish(id, "create", create("pm_card_visa"))
	<-charged
	stop()
	s.gateway = s.sim
	s.worker()
	servers.Eventually(t, "the payment is captured", func() bool { return s.get(id).Status == messages.StatusCaptured })
	op, _ := s.sim.Snapshot().Operation(id.String() + "-1")
	if op.Effects != 1 || op.Requests < 2 {
		t.Fatalf("%+v", op)
	}
	s.settled()
	s.verify()
}

// set is a set of one gateway whose calls may last long.
func set(t *testing.T, g gateway.Gateway, timeout time.Duration) *gateway.Set {
	t.Helper()
	guard, err := gateway.NewGuard("primary", g, gateway.Settings{
		Timeouts: gateway.Timeouts{Authorize: timeout, Capture: timeout, Void: timeout, Refund: timeout, Lookup: timeout},
		Retry:    gateway.Retry{TriesMax: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := gateway.NewSet(guard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASlowCallIsKeptAlive(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) {
		s.streams.AckWait = 2 * time.Second
		s.cfg.Policy.SentStale = time.Minute // the sweep would take up what is slow on purpose
	})
	var calls atomic.Int64
	slow := gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
		calls.Add(1)
		timer := time.NewTimer(5 * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw", AmountMinor: op.AmountMinor}
	})
	s.worker(func(p *worker.Parts, _ *worker.Config) { p.Gateways = set(t, slow, time.Minute) })
	s.expect(s.outcome(newID(), "", create("pm")), messages.EventPaymentCaptured)
	if calls.Load() != 1 {
		t.Fatalf("%d calls", calls.Load())
	}
	s.settled()
}

func TestWhatHangsGoesToAnotherWorker(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.streams.AckWait = 600 * time.Millisecond })
	release := make(chan struct{})
	hanging := gatewayFunc(func(_ context.Context, op messages.Operation) messages.Outcome {
		<-release // Ignores its context, as a gateway must not.
		return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw", AmountMinor: op.AmountMinor}
	})
	begun := make(chan struct{}, 10)
	s.worker(func(p *worker.Parts, cfg *worker.Config) {
		p.Gateways = set(t, gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
			begun <- struct{}{}
			return hanging(ctx, op)
		}), time.Minute)
		cfg.HandleTimeout = 500 * time.Millisecond
		cfg.SlotsMax = 1
	})
	t.Cleanup(func() { close(release) })
	id := newID()
	cmd := s.publish(id, "create", create("pm_card_visa"))
	<-begun
	s.worker()
	s.expect(s.await(cmd), messages.EventPaymentCaptured)
}

func TestDrainFinishesWhatWasBegunAndHandsBackTheRest(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.streams.AckWait = time.Minute; s.cfg.SlotsMax = 20 })
	var begun atomic.Int64
	draining := make(chan struct{})
	held := gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
		begun.Add(1)
		<-draining
		return s.sim.Do(ctx, op)
	})
	w := s.newWorker(func(p *worker.Parts, _ *worker.Config) { p.Gateways = set(t, held, time.Minute) })
	stop := s.run("worker", func(ctx context.Context) error {
		context.AfterFunc(ctx, func() { close(draining) })
		return w.Run(ctx)
	})
	var cmds []messages.Command
	for range 100 {
		cmds = append(cmds, s.publish(newID(), "", create("pm_card_visa")))
	}
	servers.Eventually(t, "every slot is taken", func() bool { return begun.Load() == 20 })
	stop()
	if finished := len(s.sim.Ledger()); finished != 20 {
		t.Errorf("%d of the 20 that were begun are finished", finished)
	}
	consumer, err := s.js.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.NumPending == 0 {
		t.Fatal("nothing was left: the drain proves nothing")
	}
	s.worker()
	for _, cmd := range cmds {
		s.expect(s.await(cmd), messages.EventPaymentCaptured)
	}
	s.settled()
	s.verify()
}

func TestWorkersShareTheWork(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.SlotsMax = 8 })
	var shares [3]atomic.Int64
	for i := range shares {
		s.worker(func(p *worker.Parts, _ *worker.Config) {
			p.Gateways = set(t, gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
				shares[i].Add(1)
				return s.sim.Do(ctx, op)
			}), time.Minute)
		})
	}
	var cmds []messages.Command
	for range 200 {
		cmds = append(cmds, s.publish(newID(), "", create("sim_slow_10")))
	}
	for _, cmd := range cmds {
		s.expect(s.await(cmd), messages.EventPaymentCaptured)
	}
	for i := range shares {
		if shares[i].Load() == 0 {
			t.Errorf("worker %d did nothing", i)
		}
	}
	s.settled()
	s.verify()
}

func TestPostgreSQLMayGoAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	ctx, cancel := context.WithCancel(t.Context())
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for ctx.Err() == nil {
			_, _ = s.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			select {
			case <-time.After(30 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	var cmds []messages.Command
	for range 100 {
		cmds = append(cmds, s.publish(newID(), "", create("sim_slow_20")))
	}
	servers.Eventually(t, "half is charged", func() bool { return len(s.sim.Ledger()) > 50 })
	cancel()
	<-cut
	for _, cmd := range cmds {
		s.expect(s.await(cmd), messages.EventPaymentCaptured)
	}
	s.settled()
	s.verify()
	if n := len(s.letters()); n != 0 {
		t.Fatalf("%d dead letters", n)
	}
}

func TestNATSMayGoAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.worker()
	var cmds []messages.Command
	for range 100 {
		cmds = append(cmds, s.publish(newID(), "", create("sim_slow_50")))
	}
	servers.Eventually(t, "some are charged", func() bool { return len(s.sim.Ledger()) > 5 })
	s.bus.Restart(t)
	for _, cmd := range cmds {
		s.expect(s.await(cmd), messages.EventPaymentCaptured)
	}
	s.settled()
	s.verify()
}

func TestAWorkerWaitsForItsConsumer(t *testing.T) {
	t.Parallel()
	s := setup(t)
	if err := s.js.DeleteConsumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers); err != nil {
		t.Fatal(err)
	}
	s.worker()
	servers.Eventually(t, "the worker says what is missing", func() bool {
		return s.logs.FilterMessageSnippet("cannot fetch commands").Len() == 1
	})
	if _, err := s.js.CreateConsumer(t.Context(), messages.StreamCommands, bus.WorkerConsumer(s.streams)); err != nil {
		t.Fatal(err)
	}
	s.expect(s.outcome(newID(), "", create("pm_card_visa")), messages.EventPaymentCaptured)
}

// An operation whose command is gone, acknowledged or lost by accident, is found and finished.
func TestAnAbandonedOperationIsSwept(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.Policy.SentStale = 500 * time.Millisecond })
	charged := make(chan struct{})
	var first sync.Once
	dying := gatewayFunc(func(ctx context.Context, op messages.Operation) messages.Outcome {
		s.sim.Do(ctx, op)
		first.Do(func() { close(charged) })
		<-ctx.Done()
		return messages.Outcome{Kind: messages.OutcomeUnknown}
	})
	stop := s.worker(func(p *worker.Parts, cfg *worker.Config) {
		cfg.DrainTimeout = time.Millisecond
		p.Gateways = set(t, dying, time.Minute)
	})
	id := newID()
	s.publish(id, "create", create("pm_card_visa"))
	<-charged
	stop()
	stream, err := s.js.Stream(t.Context(), messages.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("payments.cmd.acme.create.*")); err != nil {
		t.Fatal(err)
	}
	s.worker()
	servers.Eventually(t, "the payment is captured", func() bool { return s.get(id).Status == messages.StatusCaptured })
	s.settled()
	s.verify()
}
