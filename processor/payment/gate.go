package payment

import "github.com/seed-384b1f8a/tender/messages"

// held returns the reason for which a call that makes an operation must not go out now, "" if it
// may. It is the one gate before every call that may move money: commands, resumes, retries,
// failover, expiry and compensation pass it. Lookups move nothing and need not.
//
// A call must not go out while a person has to look at any operation of the payment, while another
// gateway may already have moved the money that the call is about, or beyond what the operation has
// reserved. A compensation passes a review: it is how a person ends one.
func (p *Payment) held(op *Operation) string {
	if isCompensation(op) {
		if target := p.Operation(op.Target); target == nil || target.ExcessMinor < op.AmountMinor {
			return "nothing of that amount is left to give back"
		}
		return ""
	}
	if p.reviewing() {
		return "an operation of the payment is in manual review"
	}
	target := p.Operation(op.Target)
	if op.Kind != messages.OperationAuthorize && target == nil {
		return "it acts on no authorization"
	}
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		return p.heldByAnother(op, target)
	case messages.OperationCapture:
		if p.uncapturedAt(target) < op.AmountMinor {
			return "the authorization no longer holds the amount"
		}
	case messages.OperationVoid:
		if p.openAmong(isCapture) != nil {
			return "a capture is in progress"
		}
	case messages.OperationRefund:
		// The operation's own reservation is part of what is taken off.
		if p.refundableAt(target) < 0 {
			return "the authorization no longer has the amount to give back"
		}
	}
	return ""
}

// heldByAnother is held for an authorization: no other one may have moved the payment's money, or
// be able to.
func (p *Payment) heldByAnother(op, target *Operation) string {
	for i := range p.Operations {
		other := &p.Operations[i]
		switch {
		case other.ID == op.ID || target != nil && other.ID == target.ID || isCompensation(other):
		case isVoid(other) && other.Open():
			return "void " + other.ID + " is not settled"
		case !isAuthorization(other):
		case other.Open() || other.Status == OperationRequiresAction:
			return string(other.Kind) + " " + other.ID + " is not settled"
		case other.AuthorizedMinor > 0 || other.ExcessMinor > 0:
			return string(other.Kind) + " " + other.ID + " has moved the money"
		}
	}
	return ""
}

// call asks for the operation that was just recorded as sent. What the gate holds back was not to
// be recorded, so that a closed gate is a bug here.
func (d *draft) call(operationID string) {
	op := d.Payment.Operation(operationID)
	if reason := d.Payment.held(op); reason != "" {
		panic("payment: sends " + string(op.Kind) + " " + op.ID + " though " + reason)
	}
	d.Call = &Call{Operation: d.Payment.request(op)}
}

// lookup asks what became of an operation, on behalf of another one or of itself.
func (d *draft) lookup(of, behalf *Operation) {
	d.Call = &Call{Operation: d.Payment.request(of), Lookup: true}
	if behalf != of {
		d.Call.Behalf = behalf.ID
	}
}
