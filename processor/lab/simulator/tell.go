package simulator

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// respondWithin is the time in which a dispute must be answered.
const respondWithin = 7 * 24 * time.Hour

// The reasons of a reversal, in the words of the bank.
const (
	codeReturned     = "payment_returned" // of a capture
	codeRefundFailed = "refund_failed"    // of a refund
)

// dispute is an open or finished dispute with its latest event.
type dispute struct {
	event protocol.Event
	over  bool
}

// tell sends the events about a record, and has a dispute opened if the payment method demands one.
// It implements sim.Observer.Tell.
func (s *Simulator) tell(r sim.Record, m sim.Manner) <-chan struct{} {
	if r.Entry != nil && r.Entry.Reversal {
		return s.messenger.tell([]protocol.Event{s.reversalEvent(r)})
	}
	e := s.event(r.Operation, protocol.EventType("operation."+string(r.Answer.Outcome)))
	e.GatewayReference, e.AmountMinor, e.CaptureBefore = r.Answer.GatewayReference, r.Answer.AmountMinor, r.Answer.CaptureBefore
	e.DeclineCode, e.NextAction = r.Answer.DeclineCode, r.Answer.NextAction
	events := []protocol.Event{e}
	if m.Twice {
		events = append(events, e)
	}
	if m.Reordered {
		older := s.event(r.Operation, protocol.EventPending)
		older.OccurredAt = e.OccurredAt.Add(-time.Second)
		events = append(events, older)
	}
	if m.Disputed {
		s.running.Go(func() { s.openDispute(r) })
	}
	return s.messenger.tell(events)
}

func (s *Simulator) reversalEvent(r sim.Record) protocol.Event {
	e := s.event(r.Operation, protocol.EventReversed)
	e.GatewayReference = r.Entry.GatewayReference
	e.AmountMinor, e.DeclineCode = -r.Entry.CapturedMinor, codeReturned
	if r.Operation.Kind == messages.OperationRefund {
		e.AmountMinor, e.DeclineCode = -r.Entry.RefundedMinor, codeRefundFailed
	}
	return e
}

// openDispute begins a dispute about a capture a moment after it, unless the simulator ends before.
func (s *Simulator) openDispute(r sim.Record) {
	timer := time.NewTimer(s.moment)
	defer timer.Stop()
	select {
	case <-s.stop:
		return
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.journal != nil && s.journal.broken.Load() {
		return
	}
	e := s.event(r.Operation, protocol.EventDisputeOpened)
	e.DisputeID, e.AmountMinor, e.Reason = "dp_"+r.Operation.ID, r.Entry.CapturedMinor, "fraudulent"
	e.GatewayReference, e.RespondBefore = r.Entry.GatewayReference, e.OccurredAt.Add(respondWithin)
	s.disputes[e.DisputeID] = &dispute{event: e}
	s.messenger.tell([]protocol.Event{e})
}

// MoveDispute gives a dispute another status: challenged, accepted, expired, canceled, won or lost.
// After each of them but challenged it is over. It fails for a dispute that was not opened or is
// over, and for another status. The ledger does not change: a dispute is about money that was
// moved, and is settled outside of the payment.
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
	d.event.ID, d.event.OccurredAt = eventID(protocol.Key{Tenant: d.event.Tenant, OperationID: d.event.OperationID}, d.event.Type), s.now().UTC()
	s.messenger.tell([]protocol.Event{d.event})
	return nil
}

// event returns an event about an operation, to be filled in. An operation has one event of each
// type.
func (s *Simulator) event(op messages.Operation, kind protocol.EventType) protocol.Event {
	return protocol.Event{
		ID: eventID(protocol.KeyOf(op), kind), Type: kind, OccurredAt: s.now().UTC(),
		Tenant: op.Tenant, PaymentID: op.PaymentID, OperationID: op.ID,
	}
}

func eventID(key protocol.Key, kind protocol.EventType) string {
	return "evt_" + key.Tenant + "_" + key.OperationID + "_" + strings.ReplaceAll(string(kind), ".", "_")
}
