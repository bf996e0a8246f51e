package webhook_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/webhook"
)

// lateAnswers holds the gateway's answers back until they are released.
type lateAnswers struct {
	gateway.Gateway
	release chan struct{}
}

func (l *lateAnswers) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	o := l.Gateway.Do(ctx, op)
	select {
	case <-l.release:
	case <-ctx.Done():
	}
	return o
}

// A webhook that beats the create response (juspay/hyperswitch#2916).
func TestAWebhookBeatsTheCreateResponse(t *testing.T) {
	t.Parallel()
	late := &lateAnswers{release: make(chan struct{})}
	s := setup(t, func(s *system) {
		late.Gateway = s.sim
		s.gateway = late
	})
	id := newID()
	s.create(id, "sim_webhook_first")
	p := s.await(id, messages.StatusCaptured)
	if p.CapturedMinor != 10000 {
		t.Fatalf("captured %d", p.CapturedMinor)
	}
	before := len(s.types(id))
	close(late.release)
	s.settled()
	if after := s.types(id); len(after) != before {
		t.Fatalf("the answer added to the history: %v", after)
	}
	if total, _ := s.sim.Snapshot().Payment(id); total.Effects != 1 || total.CapturedMinor != 10000 {
		t.Fatalf("the gateway did %+v", total)
	}
}

func TestADuplicateChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "sim_webhook_duplicate")
	s.await(id, messages.StatusCaptured)
	servers.Eventually(t, "the second copy is known", func() bool { return s.seen(webhook.ResultDuplicate) == 1 })

	// Past JetStream's own memory the key is known to the database.
	lost := about(id, "1", "evt_dispute", protocol.EventDisputeOpened)
	lost.DisputeID, lost.AmountMinor = "dp_1", 10000
	s.tell(lost)
	s.awaitEvent(id, messages.EventDisputeOpened)
	lost.Type = protocol.EventDisputeWon // The same event cannot say something else.
	s.again(lost)
	s.settled()
	if n := s.count(id, messages.EventDisputeOpened) + s.count(id, messages.EventDisputeWon); n != 1 {
		t.Fatalf("%d of two: %v", n, s.types(id))
	}
}

// again puts an event on the bus once more, as long after JetStream has forgotten it.
func (s *system) again(event protocol.Event) {
	s.t.Helper()
	forgetful := &newMessageIDs{Publisher: s.js}
	decoder, err := webhook.NewProtocol([]string{secret}, 0, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	handler, err := webhook.NewHandler(forgetful, map[string]webhook.Decoder{"primary": decoder}, webhook.Config{}, s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	body := encode(s.t, event)
	if status := exchange(s.t, handler, body, protocol.Sign(body, time.Now(), secret)); status != 200 {
		s.t.Fatalf("the event is answered %d", status)
	}
}

// newMessageIDs gives every message an id that JetStream has not seen.
type newMessageIDs struct{ jetstream.Publisher }

func (p *newMessageIDs) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	msg.Header.Set(messages.HeaderMessageID, newID().String())
	return p.Publisher.PublishMsg(ctx, msg, opts...)
}

func TestWhatIsReorderedEndsTheSame(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "sim_webhook_reordered")
	s.await(id, messages.StatusCaptured)
	servers.Eventually(t, "both events are there", func() bool { return s.seen(webhook.ResultPublished) == 2 })
	s.settled()
	if p := s.get(id); p.Status != messages.StatusCaptured || s.count(id, messages.EventPaymentProcessing) != 0 {
		t.Fatalf("%s: %v", p.Status, s.types(id))
	}
}

// A stale webhook over a terminal state (juspay/hyperswitch#10340).
func TestAStaleWebhookLeavesATerminalState(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "pm_card_visa")
	s.await(id, messages.StatusCaptured)
	s.settled()
	before := len(s.types(id))
	pending := about(id, "1", "evt_stale_1", protocol.EventPending)
	declined := about(id, "1", "evt_stale_2", protocol.EventDeclined)
	declined.DeclineCode = "insufficient_funds"
	challenged := about(id, "1", "evt_stale_3", protocol.EventRequiresAction)
	challenged.NextAction = &messages.NextAction{Type: "redirect", URL: "https://bank.example/3ds"}
	for _, e := range []protocol.Event{pending, declined, challenged} {
		s.tell(e)
	}
	s.settled()
	if p := s.get(id); p.Status != messages.StatusCaptured || len(s.types(id)) != before {
		t.Fatalf("%s: %v", p.Status, s.types(id))
	}

	// A success that is told of a declined operation is money without an account: a person has to
	// look.
	refused := newID()
	s.create(refused, "pm_card_visa_chargeDeclinedLostCard")
	s.awaitEvent(refused, messages.EventPaymentDeclined)
	s.tell(about(refused, "1", "evt_late", protocol.EventSucceeded))
	s.awaitEvent(refused, messages.EventPaymentReviewOpened)
}

// An unknown outcome is ended by the gateway's own word, long before the worker asks.
func TestAWebhookEndsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) {
		s.gateway = mute{s.sim}
		s.policy.UnknownReplays = []time.Duration{time.Hour}
		s.policy.UnknownLookups = []time.Duration{2 * time.Hour}
	})
	id := newID()
	s.create(id, "pm_card_visa")
	s.await(id, messages.StatusCaptured)
	s.settled()
	if total, _ := s.sim.Snapshot().Payment(id); total.Effects != 1 {
		t.Fatalf("the gateway did %+v", total)
	}
}

// mute does every operation and says nothing.
type mute struct{ gateway.Gateway }

func (m mute) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	m.Gateway.Do(ctx, op)
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no answer"}
}

func TestAnUnknownPaymentBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.cfg.Patience, s.cfg.DeliveriesMax = 10*time.Millisecond, 1 })
	id := newID()
	s.tell(about(id, "1", "evt_nobody", protocol.EventSucceeded))
	var letters []deadletter.Letter
	servers.Eventually(t, "it is a dead letter", func() bool {
		letters = nil
		err := deadletter.List(t.Context(), s.js, deadletter.Filter{}, func(l deadletter.Letter) bool {
			letters = append(letters, l)
			return true
		})
		return err == nil && len(letters) == 1
	})
	l := letters[0]
	if l.Reason != deadletter.ReasonDeliveriesExhausted || l.Headers.Get(messages.HeaderIdempotencyKey) != "primary:evt_nobody" {
		t.Fatalf("%+v", l)
	}

	// Once its payment is there the letter can be driven back, and counts.
	s.create(id, "pm_card_authenticationRequired")
	s.await(id, messages.StatusRequiresAction)
	if _, err := deadletter.Redrive(t.Context(), s.js, l.Sequence); err != nil {
		t.Fatal(err)
	}
	s.await(id, messages.StatusCaptured)
}

// Another tenant's word about a payment counts for nothing.
func TestAWebhookIsOfItsTenant(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "pm_card_authenticationRequired")
	s.await(id, messages.StatusRequiresAction)
	other := about(id, "1", "evt_other", protocol.EventSucceeded)
	other.Tenant = "other"
	s.tell(other)
	s.settled()
	if p := s.get(id); p.Status != messages.StatusRequiresAction {
		t.Fatalf("%s", p.Status)
	}
}
