package webhook_test

import (
	"context"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestADisputeRunsItsCourse(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "pm_card_createDispute")
	s.awaitEvent(id, messages.EventDisputeOpened)
	disputeID := "dp_" + id.String() + "-1"
	for _, status := range []string{"challenged", "lost"} {
		if err := s.sim.MoveDispute(disputeID, status); err != nil {
			t.Fatal(err)
		}
		s.awaitEvent(id, messages.EventType("dispute."+status))
	}
	if err := s.sim.MoveDispute(disputeID, "won"); err == nil {
		t.Error("a dispute that was lost can be won")
	}
	// A late event is overtaken.
	stale := about(id, "1", "evt_stale", protocol.EventDisputeChallenged)
	stale.DisputeID = disputeID
	s.tell(stale)
	s.settled()
	p := s.get(id)
	if len(p.Disputes) != 1 || p.Disputes[0].Status != messages.EventDisputeLost || s.count(id, messages.EventDisputeChallenged) != 1 {
		t.Fatalf("%+v: %v", p.Disputes, s.types(id))
	}
	events, err := s.store.History(t.Context(), "acme", id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if d, ok := e.Data.(*messages.Dispute); ok && (d.AmountMinor != 10000 || d.DisputeID != disputeID || d.RespondBefore.IsZero() || d.Gateway != "primary") {
			t.Errorf("%+v", d)
		}
	}
}

func TestACaptureIsReversed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "sim_capture_reversed")
	p := s.await(id, messages.StatusFailed)
	if p.CapturedMinor != 0 || s.count(id, messages.EventPaymentCaptureReversed) != 1 {
		t.Fatalf("captured %d: %v", p.CapturedMinor, s.types(id))
	}
	total, _ := s.sim.Snapshot().Payment(id)
	if total.CapturedMinor != 0 || total.ReleasedMinor != 10000 || total.Effects != 1 || total.Reversals != 1 {
		t.Fatalf("the gateway did %+v", total)
	}
}

// A refunded capture cannot be reversed as well, unless a person looks.
func TestAReversalOfRefundedMoneyIsBookedAndReviewed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "pm_card_visa")
	s.await(id, messages.StatusCaptured)
	six := int64(6000)
	s.publish(id, "refund", &messages.Refund{AmountMinor: &six})
	s.await(id, messages.StatusPartiallyRefunded)
	all := about(id, "1", "evt_all", protocol.EventReversed)
	all.AmountMinor, all.DeclineCode = 10000, "payment_returned"
	s.tell(all)
	s.awaitEvent(id, messages.EventPaymentReviewOpened)
	if p := s.get(id); p.CapturedMinor != 6000 || p.RefundedMinor != 6000 || p.ShortfallMinor != 6000 {
		t.Fatalf("%+v", p)
	}
}

func TestARefundFailsAfterAll(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "pm_card_refundFail")
	s.await(id, messages.StatusCaptured)
	six := int64(6000)
	s.publish(id, "refund", &messages.Refund{AmountMinor: &six})
	s.awaitEvent(id, messages.EventRefundSucceeded)
	s.awaitEvent(id, messages.EventRefundFailed)
	if p := s.get(id); p.RefundedMinor != 0 || p.CapturedMinor != 10000 || p.Status != messages.StatusCaptured {
		t.Fatalf("%s, refunded %d", p.Status, p.RefundedMinor)
	}
	total, _ := s.sim.Snapshot().Payment(id)
	if total.RefundedMinor != 0 || total.Effects != 2 || total.Reversals != 1 {
		t.Fatalf("the gateway did %+v", total)
	}
	// The money is there to be refunded another time.
	s.publish(id, "again", &messages.Refund{})
	servers.Eventually(t, "the second refund fails too", func() bool { return s.count(id, messages.EventRefundFailed) == 2 })
}

// A gateway that does not say whether a refund that failed had succeeded before makes two
// notifications of it. Together they leave one failure, whether it had or not, and whichever is
// handled first.
func TestAFailedRefundMayBeToldBothWays(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.gateway = refundsPend{s.sim} })
	for name, order := range map[string][]protocol.EventType{
		"the outcome first":  {protocol.EventDeclined, protocol.EventReversed},
		"the reversal first": {protocol.EventReversed, protocol.EventDeclined},
	} {
		for _, succeeded := range []bool{false, true} {
			id := newID()
			s.create(id, "pm_card_visa")
			s.await(id, messages.StatusCaptured)
			s.publish(id, id.String()+"-refund", &messages.Refund{})
			s.awaitEvent(id, messages.EventPaymentProcessing)
			if succeeded {
				s.tell(about(id, "2", "evt_succeeded_"+id.String(), protocol.EventSucceeded))
				s.await(id, messages.StatusRefunded)
			}
			for _, kind := range order {
				e := about(id, "2", "evt_"+string(kind)+id.String(), kind)
				e.DeclineCode = "refund_failed"
				s.tell(e)
			}
			s.settled()
			p := s.get(id)
			if p.RefundedMinor != 0 || p.Status != messages.StatusCaptured || s.count(id, messages.EventRefundFailed) != 1 ||
				s.count(id, messages.EventPaymentReviewOpened) != 0 {
				t.Errorf("%s, succeeded before: %v: %s, refunded %d: %v", name, succeeded, p.Status, p.RefundedMinor, s.types(id))
			}
		}
	}
}

// refundsPend takes refunds and does not do them.
type refundsPend struct{ gateway.Gateway }

func (r refundsPend) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	if op.Kind == messages.OperationRefund {
		return messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "re_" + op.ID}
	}
	return r.Gateway.Do(ctx, op)
}

func TestAPendingRefundIsTold(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "pm_card_pendingRefund")
	s.await(id, messages.StatusCaptured)
	s.publish(id, "refund", &messages.Refund{})
	// It is not looked up: there is no scheduler.
	s.await(id, messages.StatusRefunded)
}
