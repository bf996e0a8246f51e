package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// respondWithin is how long a dispute may go unanswered.
const respondWithin = 7 * 24 * time.Hour

// codeReturned is why a capture is reversed, in the words of the bank that returns it.
const codeReturned = "payment_returned"

// dispute is one that was opened, as it was last told.
type dispute struct {
	event protocol.Event
	over  bool
}

// tells reports whether there is anybody to tell.
func (s *Simulator) tells() bool { return s.messenger != nil }

// tell sends what became of an operation, and sees to what follows from it later. The channel is closed when it was sent; nil if it is not
// sent. It is called with the lock held, after the record was applied.
func (s *Simulator) tell(r record) <-chan struct{} {
	if !s.tells() {
		return nil
	}
	c := s.cardOf(r.Operation)
	e := s.event(r.Operation, protocol.EventType("operation."+string(r.Answer.Outcome)))
	e.GatewayReference, e.AmountMinor, e.CaptureBefore = r.Answer.GatewayReference, r.Answer.AmountMinor, r.Answer.CaptureBefore
	e.DeclineCode, e.NextAction = r.Answer.DeclineCode, r.Answer.NextAction
	events := []protocol.Event{e}
	switch c.fault.webhook(r.Operation.Kind) {
	case faultWebhookDuplicate:
		events = append(events, e)
	case faultWebhookReordered:
		older := s.event(r.Operation, protocol.EventPending)
		older.OccurredAt = e.OccurredAt.Add(-time.Second)
		events = append(events, older)
	default:
	}
	s.foresee(r, c)
	return s.messenger.tell(events)
}

// foresee arranges for what a card has in store after an operation.
func (s *Simulator) foresee(r record, c card) {
	op := r.Operation
	captured := r.Entry != nil && r.Entry.CapturedMinor > 0
	switch {
	case r.Answer.Outcome == messages.OutcomePending:
		s.later(func() { s.comeThrough(op.ID) })
	case captured && c.fault.kind == faultCaptureReversed:
		s.later(func() { s.reverseCapture(r) })
	case captured && c.disputed:
		s.later(func() { s.openDispute(r) })
	case r.Entry != nil && r.Entry.RefundedMinor > 0 && c.refund == refundFails:
		s.later(func() { s.reverseRefund(r) })
	}
}

// later does something with the lock held in a moment, unless the simulator is closed before.
func (s *Simulator) later(do func()) {
	s.running.Go(func() {
		timer := time.NewTimer(s.config.Webhook.Moment)
		defer timer.Stop()
		select {
		case <-s.stop:
			return
		case <-timer.C:
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed && s.broken == nil {
			do()
		}
	})
}

// comeThrough ends a pending refund, if a lookup has not.
func (s *Simulator) comeThrough(operationID string) {
	if q := s.requests[operationID]; q.answer.Outcome == messages.OutcomePending {
		s.complete(q)
	}
}

// reverseCapture takes a capture back, as far as it has not been refunded. What was taken back can't be captured again.
func (s *Simulator) reverseCapture(r record) {
	a := s.authorizations[r.Entry.AuthorizationReference]
	amount := min(r.Entry.CapturedMinor, a.captured-a.refunded-a.refunding)
	if amount <= 0 {
		return
	}
	entry := s.entry(r.Operation, "rev_"+r.Operation.ID, a.reference)
	entry.CapturedMinor, entry.ReleasedMinor = -amount, amount
	s.reverse(r, entry, amount, codeReturned)
}

// reverseRefund takes a refund back that did not reach the customer.
func (s *Simulator) reverseRefund(r record) {
	entry := s.entry(r.Operation, "rev_"+r.Operation.ID, r.Entry.AuthorizationReference)
	entry.RefundedMinor = -r.Entry.RefundedMinor
	s.reverse(r, entry, r.Entry.RefundedMinor, "refund_failed")
}

func (s *Simulator) reverse(r record, entry *Entry, amount int64, code string) {
	entry.Reversal = true
	r.Entry = entry
	if !s.commit(r) {
		return
	}
	e := s.event(r.Operation, protocol.EventReversed)
	e.GatewayReference, e.AmountMinor, e.DeclineCode = entry.GatewayReference, amount, code
	s.messenger.tell([]protocol.Event{e})
}

// openDispute begins a dispute about what was captured.
func (s *Simulator) openDispute(r record) {
	e := s.event(r.Operation, protocol.EventDisputeOpened)
	e.DisputeID, e.AmountMinor, e.Reason = "dp_"+r.Operation.ID, r.Entry.CapturedMinor, "fraudulent"
	e.GatewayReference, e.RespondBefore = r.Entry.GatewayReference, e.OccurredAt.Add(respondWithin)
	s.disputes[e.DisputeID] = &dispute{event: e}
	s.messenger.tell([]protocol.Event{e})
}

// MoveDispute says where a dispute stands now: challenged, accepted, expired, canceled, won or lost, after which it is over except when
// it is challenged. It fails for a dispute that was not opened, is over, or another status. The ledger does not change: a
// dispute is about money that was moved, and is settled outside of the payment.
func (s *Simulator) MoveDispute(disputeID, status string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, found := s.disputes[disputeID]
	switch {
	case s.closed || !found:
		return fmt.Errorf("dispute %q is not there", disputeID)
	case d.over:
		return fmt.Errorf("dispute %s is over", disputeID)
	}
	switch to := protocol.EventType("dispute." + status); to {
	case protocol.EventDisputeChallenged:
	case protocol.EventDisputeAccepted, protocol.EventDisputeExpired, protocol.EventDisputeCanceled,
		protocol.EventDisputeWon, protocol.EventDisputeLost:
		d.over = true
	default:
		return fmt.Errorf("dispute %s can't become %q", disputeID, status)
	}
	d.event.Type = protocol.EventType("dispute." + status)
	d.event.ID, d.event.OccurredAt = eventID(d.event.OperationID, d.event.Type), s.config.Now().UTC()
	s.messenger.tell([]protocol.Event{d.event})
	return nil
}

// event is one about an operation, to be filled in. Of each type there is one event for an operation.
func (s *Simulator) event(op messages.Operation, kind protocol.EventType) protocol.Event {
	return protocol.Event{
		ID: eventID(op.ID, kind), Type: kind, OccurredAt: s.config.Now().UTC(),
		Tenant: op.Tenant, PaymentID: op.PaymentID, OperationID: op.ID,
	}
}

func eventID(operationID string, kind protocol.EventType) string {
	return "evt_" + operationID + "_" + strings.ReplaceAll(string(kind), ".", "_")
}
