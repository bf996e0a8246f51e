package payment

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// applyToOperation folds the events that are about one attempt at one operation.
func (p *Payment) applyToOperation(e messages.Event) (problem string) {
	if d, ok := e.Data.(*messages.OperationSent); ok && p.Operation(d.OperationID) == nil {
		return p.startOperation(e, Operation{
			Kind: d.Kind, AmountMinor: d.AmountMinor, Final: d.Final, Reason: d.Reason, Expires: d.Expires,
		}, d.Attempt)
	}
	a, known := attemptOf(e.Data)
	if !known {
		return "is of a type that this version does not know"
	}
	op := p.Operation(a.OperationID)
	if op == nil {
		return "is about operation " + a.OperationID + ", which is not there"
	}
	if op.settled() && !reopens(e.Data) {
		return "is about operation " + op.ID + ", which has already " + string(op.Status)
	}
	op.Tries = a.Tries
	if p.applyProgress(op, e) {
		return ""
	}
	if reversed, problem := p.applyReversal(op, e.Data); reversed {
		return problem
	}
	p.applyOutcome(op, e.Data)
	return ""
}

// applyReversal folds what takes a success back; false if the event is of another sort.
func (p *Payment) applyReversal(op *Operation, data messages.EventData) (reversed bool, problem string) {
	switch d := data.(type) {
	case *messages.PaymentCaptureReversed:
		if op.Status != OperationSucceeded || isVoid(op) || op.Kind == messages.OperationRefund {
			return true, "takes back operation " + op.ID + ", which captured nothing"
		}
		op.ReversedMinor += d.AmountMinor
		p.CapturedMinor -= d.AmountMinor
		p.ReleasedMinor += d.AmountMinor
		if p.CapturedMinor == 0 && p.UncapturedMinor() == 0 {
			p.Closed, p.FailureCode = messages.StatusFailed, d.Code
		}
		return true, op.brokenReversal()
	case *messages.RefundFailed:
		if op.Status != OperationSucceeded {
			return false, ""
		}
		op.ReversedMinor += d.AmountMinor
		p.RefundedMinor -= d.AmountMinor
		if op.ReversedMinor == op.AmountMinor {
			op.settle(OperationFailed)
		}
		return true, op.brokenReversal()
	default:
		return false, ""
	}
}

func (o *Operation) brokenReversal() string {
	if o.ReversedMinor > o.AmountMinor {
		return "takes back more than operation " + o.ID + " moved"
	}
	return ""
}

// reopens reports whether an event may be about an operation that is settled: a contradiction, its resolution, a reversal.
func reopens(data messages.EventData) bool {
	switch data.(type) {
	case *messages.PaymentReviewOpened, *messages.PaymentOutcomeResolved, *messages.PaymentCaptureReversed, *messages.RefundFailed:
		return true
	default:
		return false
	}
}

// resolve ends an unknown outcome, a review or a contradiction. Unless the operation already stands as found, it is
// open again until the next event says what the finding means for the money.
func (o *Operation) resolve(succeeded bool) {
	o.Contradicted = false
	if o.settled() && succeeded == (o.Status == OperationSucceeded) {
		return
	}
	o.settle(OperationSent)
}

// attemptOf returns the attempt that an event is about; false if the event is about none.
func attemptOf(data messages.EventData) (messages.Attempt, bool) {
	switch d := data.(type) {
	case *messages.OperationSent:
		return d.Attempt, true
	case *messages.OperationNotSent:
		return d.Attempt, true
	case *messages.OperationDeclined:
		return d.Attempt, true
	case *messages.PaymentParked:
		return d.Attempt, true
	case *messages.OperationPending:
		return d.Attempt, true
	case *messages.OperationChecked:
		return d.Attempt, true
	case *messages.PaymentOutcomeUnknown:
		return d.Attempt, true
	case *messages.PaymentOutcomeResolved:
		return d.Attempt, true
	case *messages.PaymentReviewOpened:
		return d.Attempt, true
	case *messages.PaymentActionRequired:
		return d.Attempt, true
	case *messages.PaymentAuthorized:
		return d.Attempt, true
	case *messages.PaymentDeclined:
		return d.Attempt, true
	case *messages.PaymentCaptured:
		return d.Attempt, true
	case *messages.PaymentCaptureFailed:
		return d.Attempt, true
	case *messages.PaymentCaptureReversed:
		return d.Attempt, true
	case *messages.PaymentVoidFailed:
		return d.Attempt, true
	case *messages.RefundSucceeded:
		return d.Attempt, true
	case *messages.RefundFailed:
		return d.Attempt, true
	default:
		return messages.Attempt{}, false
	}
}

// applyProgress folds what leaves the operation's outcome open; false if the event is of another sort.
func (p *Payment) applyProgress(op *Operation, e messages.Event) bool {
	switch d := e.Data.(type) {
	case *messages.OperationSent:
		op.Unproven = op.Unproven || op.Status == OperationSent
		op.Status, op.Attempt = OperationSent, d.Attempt.Attempt
		op.SentAt, op.SentBy, op.NextCheckAt = e.OccurredAt, e.CausationID, time.Time{}
	case *messages.OperationNotSent:
		op.notSent(e.OccurredAt, d.RetryAt)
	case *messages.PaymentParked:
		op.notSent(e.OccurredAt, d.RetryAt)
	case *messages.OperationPending:
		op.Pending, op.NextCheckAt = true, d.NextCheckAt
		op.GatewayReference = d.GatewayReference
	case *messages.OperationChecked:
		op.NextCheckAt = d.NextCheckAt
		if op.Status == OperationUnknown && d.Outcome != messages.OutcomeNotSent {
			op.Checks++
		}
	case *messages.PaymentOutcomeUnknown:
		op.Status, op.Pending = OperationUnknown, false
		op.UnknownSince, op.NextCheckAt = e.OccurredAt, d.NextCheckAt
	case *messages.PaymentReviewOpened:
		if op.settled() {
			op.Contradicted = true
		} else {
			op.settle(OperationManualReview)
		}
	case *messages.PaymentOutcomeResolved:
		op.resolve(d.Outcome == messages.OutcomeSucceeded)
	default:
		return false
	}
	return true
}

// notSent parks the operation until retryAt; without one it is over, and another gateway is tried.
func (o *Operation) notSent(at, retryAt time.Time) {
	if o.NotSentSince.IsZero() {
		o.NotSentSince = at
	}
	if retryAt.IsZero() {
		o.settle(OperationFailed)
		return
	}
	o.Status, o.NextCheckAt = OperationNotSent, retryAt
}

// applyOutcome folds what settles the operation, or hands it to the customer.
func (p *Payment) applyOutcome(op *Operation, data messages.EventData) {
	switch d := data.(type) {
	case *messages.PaymentActionRequired:
		op.settle(OperationRequiresAction)
		op.GatewayReference, p.GatewayReference = d.GatewayReference, d.GatewayReference
		p.NextAction, p.ConfirmBefore = &d.NextAction, d.ConfirmBefore
	case *messages.PaymentAuthorized:
		p.settleAuthorization(op, d.GatewayReference, d.AmountMinor)
		p.CaptureBefore, p.WarnAt = d.CaptureBefore, d.WarnAt
	case *messages.PaymentCaptured:
		if isAuthorization(op) {
			p.settleAuthorization(op, d.GatewayReference, d.AmountMinor)
		}
		op.settle(OperationSucceeded)
		op.GatewayReference = d.GatewayReference
		p.CapturedMinor += d.AmountMinor
		p.ReleasedMinor += d.AmountReleasedMinor
	case *messages.OperationDeclined:
		op.settle(OperationFailed)
		op.DeclineCode = d.Code
	case *messages.PaymentDeclined:
		op.settle(OperationFailed)
		op.DeclineCode = d.Code
		p.endAction(OperationFailed)
		p.Decline, p.RetryAt = &d.Decline, d.RetryAt
		if d.Class == messages.DeclineNeverRetry {
			p.Closed, p.FailureCode = messages.StatusFailed, d.Code
		}
	case *messages.PaymentCaptureFailed, *messages.PaymentVoidFailed, *messages.RefundFailed:
		op.settle(OperationFailed)
	case *messages.RefundSucceeded:
		op.settle(OperationSucceeded)
		op.GatewayReference = d.GatewayReference
		p.RefundedMinor += d.AmountMinor
	}
}

func (p *Payment) settleAuthorization(op *Operation, reference string, amountMinor int64) {
	op.settle(OperationSucceeded)
	op.GatewayReference, p.GatewayReference = reference, reference
	p.AuthorizedMinor += amountMinor
	// A person may find out that what was recorded as failed went through after all.
	p.Closed, p.FailureCode, p.Decline = "", "", nil
	p.endAction(OperationSucceeded)
}
