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

// applyReversal folds what takes a success back; false if the event is of another sort.
func (p *Payment) applyReversal(op *Operation, data messages.EventData) (reversed bool, problem string) {
	switch d := data.(type) {
	case *messages.PaymentCaptureReversed:
		if op.Status != OperationSucceeded || isVoid(op) || isRefund(op) {
			return true, "takes back operation " + op.ID + ", which captured nothing"
		}
		op.ReversedMinor += d.AmountMinor
		op.ExcessMinor -= d.AmountExcessMinor
		op.CompensatedMinor += d.AmountExcessMinor
		p.sum()
		if p.CapturedMinor == 0 && p.UncapturedMinor() == 0 {
			p.Closed, p.FailureCode = messages.StatusFailed, d.Code
		}
		return true, ""
	case *messages.RefundFailed:
		if op.Status != OperationSucceeded {
			return false, ""
		}
		op.ReversedMinor += d.AmountMinor
		if target := p.Operation(op.Target); isCompensation(op) && target != nil {
			// The excess is there again.
			target.CompensatedMinor -= d.AmountMinor
			target.ExcessMinor += d.AmountMinor
		}
		if op.ReversedMinor == op.RefundedMinor {
			op.settle(OperationFailed)
		}
		return true, ""
	default:
		return false, ""
	}
}

// takes reports whether an event may be about the operation though it is settled: a contradiction,
// its resolution, a reversal; a decline whose page had to be closed first; a capture that the
// gateway made without being asked.
func (o *Operation) takes(data messages.EventData) bool {
	switch data.(type) {
	case *messages.PaymentReviewOpened, *messages.PaymentOutcomeResolved, *messages.PaymentCaptureReversed, *messages.RefundFailed:
		return true
	case *messages.PaymentDeclined:
		return o.Status == OperationFailed && o.Decline != nil
	case *messages.PaymentCaptured:
		return o.Status == OperationSucceeded && o.AuthorizedMinor > 0 && o.CapturedMinor == 0
	default:
		return false
	}
}

// resolve ends an unknown outcome, a review or a contradiction. An accepted finding only ends the
// review; after any other the operation is open again, without its amounts, until the next event
// says what the finding means for the money.
func (o *Operation) resolve(d *messages.PaymentOutcomeResolved) {
	o.Review, o.Claimed = "", false
	switch succeeded := d.Outcome == messages.OutcomeSucceeded; {
	case d.Accepted && succeeded && !isVoid(o):
		o.ExcessMinor = d.AmountMinor - o.movedMinor() - o.CompensatedMinor
	case d.Accepted && succeeded:
	case d.Accepted:
		o.ExcessMinor = 0
	default:
		o.settle(OperationSent)
		o.AuthorizedMinor, o.CapturedMinor, o.ReleasedMinor, o.RefundedMinor, o.ExcessMinor = 0, 0, 0, 0, 0
	}
}

// stands reports whether a settled operation is recorded as a finding says; amountMinor 0 says
// nothing of an amount.
func (o *Operation) stands(succeeded bool, amountMinor int64) bool {
	switch {
	case !o.settled() || succeeded != (o.Status == OperationSucceeded):
		return false
	case !succeeded, amountMinor == 0:
		return true
	default:
		return o.reportedMinor() == amountMinor
	}
}
