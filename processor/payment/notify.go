package payment

import (
	"cmp"
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
)

// notify takes in what a gateway said of its own accord. It may be the first word on an operation
// whose own answer is still on its way, or the last of several; it may be stale, or about something
// else than it seems. So it settles what is open, adds what is new, and overwrites nothing: what
// contradicts the record goes to a person.
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

// answer is the notification as the outcome of a call that was not made.
func answer(n *messages.Notify) messages.Outcome {
	o := messages.Outcome{
		Kind: n.Outcome, GatewayReference: n.GatewayReference, AmountMinor: n.AmountMinor,
		CaptureBefore: n.CaptureBefore, Detail: n.Reason,
	}
	if n.Outcome == messages.OutcomeRequiresAction {
		o.NextAction = &messages.NextAction{Type: n.NextActionType, URL: n.NextActionURL, ClientSecret: n.NextActionSecret}
	}
	if n.Outcome == messages.OutcomeDeclined {
		// A missing class must not open the way to another gateway.
		o.Decline = &messages.Decline{Code: cmp.Or(n.DeclineCode, "declined"), Class: cmp.Or(n.DeclineClass, messages.DeclineFixData)}
	}
	return o
}

// notifyReversal takes a success back. Where the money had been given back to the customer already,
// it is short, and a person has to look.
func (d *draft) notifyReversal(op *Operation, n *messages.Notify) {
	failure := messages.Failure{Code: messages.FailureReversed, Message: n.Reason}
	if n.DeclineCode != "" {
		failure.Code = n.DeclineCode
	}
	booked := op.CapturedMinor + op.RefundedMinor - op.ReversedMinor
	amount := booked + op.ExcessMinor
	if n.AmountMinor != 0 {
		amount = min(amount, n.AmountMinor)
	}
	excess := min(op.ExcessMinor, amount)
	if booked > 0 && op.Review == "" {
		excess = max(0, amount-booked)
	}
	before := d.Payment.ShortfallMinor
	switch {
	case op.Open() || op.Status == OperationRequiresAction:
		// What it takes back has not been heard of yet.
		d.refuse(messages.RejectOperationInProgress, string(op.Kind)+" "+op.ID+" has not been answered yet")
		return
	case amount == 0 || isVoid(op):
		return // Taken back already, or never there.
	case isRefund(op):
		d.about(op, &messages.RefundFailed{Attempt: op.attempt(messages.Outcome{}), Failure: failure, AmountMinor: min(amount, booked)})
		if isCompensation(op) && booked > 0 {
			d.openReview(d.Payment.Operation(op.Target), messages.Outcome{}, messages.ReviewReversal, "what was given back came back")
		}
		return
	case op.Status != OperationSucceeded:
		// A second charge that the bank took back by itself.
		d.openReview(op, messages.Outcome{}, messages.ReviewReversal, "the gateway took back what is recorded as failed")
		return
	}
	after := d.Payment.keptMinor() - (amount - excess)
	d.about(op, &messages.PaymentCaptureReversed{
		Attempt: op.attempt(messages.Outcome{}), Failure: failure, AmountMinor: amount - excess, AmountExcessMinor: excess,
		AmountCapturedMinor:  max(after, d.Payment.RefundedMinor),
		AmountShortfallMinor: max(0, d.Payment.RefundedMinor+d.Payment.DisputedMinor-after),
	})
	if d.Payment.ShortfallMinor > before {
		d.openReview(op, messages.Outcome{}, messages.ReviewReversal,
			fmt.Sprintf("%d was given back to the customer and taken back by the bank as well", d.Payment.ShortfallMinor))
	}
}

// notifyDispute records where a dispute stands, unless that has been overtaken. The disputed money
// is not refunded meanwhile, and is gone when the dispute is lost.
func (d *draft) notifyDispute(n *messages.Notify) {
	p := d.Payment
	status := messages.EventType("dispute." + n.DisputeStatus)
	event := &messages.Dispute{
		Type: status, DisputeID: n.DisputeID, AmountMinor: n.AmountMinor, Reason: n.Reason,
		RespondBefore: micros(n.RespondBefore), Gateway: n.Gateway, GatewayReference: n.GatewayReference,
	}
	for _, known := range p.Disputes {
		if known.ID != n.DisputeID {
			continue
		}
		if disputeRank(known.Status) >= disputeRank(status) {
			return
		}
		event.OperationID = known.OperationID
		event.AmountMinor = cmp.Or(event.AmountMinor, known.AmountMinor)
	}
	disputed := p.Operation(event.OperationID)
	if disputed == nil {
		disputed = p.disputed(n)
	}
	if disputed != nil {
		event.OperationID = disputed.ID
		event.AmountMinor = cmp.Or(event.AmountMinor, p.capturedAt(disputed))
	}
	before := p.ShortfallMinor
	d.record(event)
	if p.ShortfallMinor > before && disputed != nil {
		d.openReview(disputed, messages.Outcome{}, messages.ReviewDispute,
			fmt.Sprintf("%d was given back to the customer and lost in a dispute as well", p.ShortfallMinor))
	}
}

// disputed finds the authorization whose money a dispute is about: the one of the gateway's
// reference, else the latest that captured at that gateway, else the latest there.
func (p *Payment) disputed(n *messages.Notify) *Operation {
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Gateway != n.Gateway || isVoid(op) || isRefund(op) {
			continue
		}
		named := n.OperationID == op.ID || n.OperationID == "" && n.GatewayReference != "" && n.GatewayReference == op.GatewayReference
		if named && isAuthorization(op) && p.capturedAt(op) > 0 {
			return op
		}
		if named && isCapture(op) {
			return p.Operation(op.Target)
		}
	}
	if captured := p.latestAuthorization(func(op *Operation) bool { return op.Gateway == n.Gateway && p.capturedAt(op) > 0 }); captured != nil {
		return captured
	}
	// Of a capture that Tender has not heard of yet.
	return p.latestAuthorization(func(op *Operation) bool { return op.Gateway == n.Gateway })
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

// notified finds the operation that a notification is about: by its id, else by the gateway's
// reference. One that says how an authorization ended which waits for its customer is about the
// confirmation, if that is under way; one that only says that it waits is older than that.
func (p *Payment) notified(n *messages.Notify) *Operation {
	var found *Operation
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Gateway != n.Gateway {
			continue
		}
		if n.OperationID != "" && op.ID == n.OperationID ||
			n.OperationID == "" && n.GatewayReference != "" && op.GatewayReference == n.GatewayReference && !isVoid(op) {
			found = op
			break
		}
	}
	if found == nil || found.Kind != messages.OperationAuthorize {
		return found
	}
	if confirmed := p.confirmedBy(found); confirmed != nil {
		return confirmed
	}
	if found.Status == OperationRequiresAction && (n.Outcome == messages.OutcomeSucceeded || n.Outcome == messages.OutcomeDeclined) {
		if confirm := p.openAmong(func(o *Operation) bool { return o.Kind == messages.OperationConfirm }); confirm != nil {
			return confirm
		}
	}
	return found
}

// confirmedBy returns the confirmation that completed an authorization, nil if there is none: what
// moved is recorded there.
func (p *Payment) confirmedBy(authorize *Operation) *Operation {
	return p.latestAuthorization(func(op *Operation) bool {
		return op.Target == authorize.ID && op.Status == OperationSucceeded && op.reportedMinor() > 0
	})
}
