package payment

import (
	"cmp"
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
)

// notify takes in what a gateway said of its own accord. It may be the first word on an operation whose own answer is
// still on its way, or the last of several; it may be stale, or about something else than it seems. So it settles what is
// open, adds what is new, and overwrites nothing: what contradicts the record goes to a person.
func (d *draft) notify(n *messages.Notify) {
	if n.Kind == messages.NotifyDispute {
		d.notifyDispute(n)
		return
	}
	op := d.Payment.notified(n)
	if op == nil {
		d.refuse(messages.RejectOperationNotFound, "the payment has no operation "+n.OperationID+n.GatewayReference+" at "+n.Gateway)
		return
	}
	if n.Kind == messages.NotifyReversal {
		d.notifyReversal(op, n)
		return
	}
	if op.Status == OperationSucceeded && n.Outcome == messages.OutcomeDeclined {
		// Of an earlier try, and overtaken by the success: what takes a success back is a reversal.
		return
	}
	d.settle(op, Call{Operation: d.Payment.request(op)}, answer(n))
}

// notified finds the operation that a notification is about: by its id, else by the gateway's reference. One that says
// how an authorization ended which waits for its customer is about the confirmation, if that is under way; one that only
// says that it waits is older than that.
func (p *Payment) notified(n *messages.Notify) *Operation {
	var found *Operation
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Gateway != n.Gateway {
			continue
		}
		if n.OperationID != "" && op.ID == n.OperationID ||
			n.OperationID == "" && n.GatewayReference != "" && op.GatewayReference == n.GatewayReference && op.Kind != messages.OperationVoid {
			found = op
			break
		}
	}
	if found != nil && found.Status == OperationRequiresAction && (n.Outcome == messages.OutcomeSucceeded || n.Outcome == messages.OutcomeDeclined) {
		if confirm := p.openAmong(func(o *Operation) bool { return o.Kind == messages.OperationConfirm }); confirm != nil {
			return confirm
		}
	}
	return found
}

// answer is the notification as the outcome of a call that nobody had to make.
func answer(n *messages.Notify) messages.Outcome {
	o := messages.Outcome{
		Kind: n.Outcome, GatewayReference: n.GatewayReference, AmountMinor: n.AmountMinor,
		CaptureBefore: n.CaptureBefore, Detail: n.Reason,
	}
	if n.Outcome == messages.OutcomeRequiresAction {
		o.NextAction = &messages.NextAction{Type: n.NextActionType, URL: n.NextActionURL}
	}
	if n.Outcome == messages.OutcomeDeclined {
		// A class that nobody gave must not open the way to another gateway.
		o.Decline = &messages.Decline{Code: cmp.Or(n.DeclineCode, "declined"), Class: cmp.Or(n.DeclineClass, messages.DeclineFixData)}
	}
	return o
}

// notifyReversal takes a success back as far as the money allows; where it has been given back to the customer already,
// a person has to look.
func (d *draft) notifyReversal(op *Operation, n *messages.Notify) {
	p := d.Payment
	amount := op.AmountMinor - op.ReversedMinor
	if n.AmountMinor != 0 {
		amount = min(amount, n.AmountMinor)
	}
	failure := messages.Failure{Code: messages.FailureReversed, Message: n.Reason}
	if n.DeclineCode != "" {
		failure.Code = n.DeclineCode
	}
	switch {
	case op.Open():
		d.refuse(messages.RejectOperationInProgress, string(op.Kind)+" "+op.ID+" has not been answered yet")
	case op.Status != OperationSucceeded || amount == 0:
		// Taken back already, or never there.
	case op.Kind == messages.OperationRefund:
		d.about(op, &messages.RefundFailed{Attempt: op.attempt(messages.Outcome{}), Failure: failure, AmountMinor: amount})
	case amount > p.RefundableMinor():
		d.openReview(op, messages.Outcome{}, "reversal",
			fmt.Sprintf("%d was reversed, of which only %d has not been refunded", amount, p.RefundableMinor()))
	default:
		d.about(op, &messages.PaymentCaptureReversed{
			Attempt: op.attempt(messages.Outcome{}), Failure: failure, AmountMinor: amount,
			AmountCapturedMinor: p.CapturedMinor - amount,
		})
	}
}

// notifyDispute records where a dispute stands, unless that has been overtaken.
func (d *draft) notifyDispute(n *messages.Notify) {
	status := messages.EventType("dispute." + n.DisputeStatus)
	for _, known := range d.Payment.Disputes {
		if known.ID == n.DisputeID && disputeRank(known.Status) >= disputeRank(status) {
			return
		}
	}
	d.record(&messages.Dispute{
		Type: status, DisputeID: n.DisputeID, AmountMinor: n.AmountMinor, Reason: n.Reason,
		RespondBefore: micros(n.RespondBefore), Gateway: n.Gateway, GatewayReference: n.GatewayReference,
	})
}

// disputeRank orders the statuses of a dispute: it is opened, perhaps challenged, and then ends.
func disputeRank(status messages.EventType) int {
	switch status {
	case messages.EventDisputeOpened:
		return 1
	case messages.EventDisputeChallenged:
		return 2
	default:
		return 3
	}
}
