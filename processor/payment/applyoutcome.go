package payment

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// applyOutcome folds what settles the operation, or hands it to the customer.
func (p *Payment) applyOutcome(op *Operation, data messages.EventData) {
	switch d := data.(type) {
	case *messages.PaymentActionRequired:
		op.settle(OperationRequiresAction)
		op.Actionable = true
		op.GatewayReference, p.GatewayReference = d.GatewayReference, d.GatewayReference
		p.NextAction, p.ConfirmBefore = &d.NextAction, d.ConfirmBefore
	case *messages.PaymentAuthorized:
		p.settleAuthorization(op, d.GatewayReference)
		op.AuthorizedMinor, op.ExcessMinor = d.AmountMinor, d.AmountExcessMinor
		p.CaptureBefore, p.WarnAt = d.CaptureBefore, d.WarnAt
	case *messages.PaymentCaptured:
		p.applyCaptured(op, d)
	case *messages.OperationDeclined:
		op.settle(OperationFailed)
		op.Decline = &d.Decline
	case *messages.PaymentDeclined:
		op.settle(OperationFailed)
		op.Decline = &d.Decline
		p.endAction(OperationFailed)
		p.Decline, p.RetryAt = &d.Decline, d.RetryAt
		if d.Class == messages.DeclineNeverRetry {
			p.Closed, p.FailureCode = messages.StatusFailed, d.Code
		}
	case *messages.PaymentConfirmFailed, *messages.PaymentCaptureFailed, *messages.PaymentVoidFailed, *messages.RefundFailed,
		*messages.PaymentCompensationFailed:
		op.settle(OperationFailed)
	case *messages.RefundSucceeded:
		op.settle(OperationSucceeded)
		op.GatewayReference = d.GatewayReference
		op.RefundedMinor, op.ExcessMinor = d.AmountMinor, d.AmountExcessMinor
	}
}

func (p *Payment) applyCaptured(op *Operation, d *messages.PaymentCaptured) {
	switch {
	case isAuthorization(op) && op.settled():
		// Captured at the gateway by other means than Tender.
		op.CapturedMinor = d.AmountMinor
		op.ReleasedMinor = d.AmountReleasedMinor
		return
	case isAuthorization(op):
		p.settleAuthorization(op, d.GatewayReference)
		op.AuthorizedMinor = d.AmountMinor
	default:
		op.settle(OperationSucceeded)
		op.GatewayReference = d.GatewayReference
	}
	op.CapturedMinor, op.ReleasedMinor, op.ExcessMinor = d.AmountMinor, d.AmountReleasedMinor, d.AmountExcessMinor
	if target := p.Operation(op.Target); target != nil && isCapture(op) && op.Final {
		// The last capture releases the rest of the authorization, an excess of it as well.
		target.CompensatedMinor += target.ExcessMinor
		target.ExcessMinor = 0
	}
}

// settleAuthorization books an authorization: what follows goes to its gateway.
func (p *Payment) settleAuthorization(op *Operation, reference string) {
	op.settle(OperationSucceeded)
	op.GatewayReference = reference
	p.Gateway, p.GatewayReference = op.Gateway, reference
	// A person may find out that what was recorded as failed went through after all.
	p.Closed, p.FailureCode, p.Decline, p.RetryAt = "", "", nil, time.Time{}
	p.endAction(OperationSucceeded)
}
