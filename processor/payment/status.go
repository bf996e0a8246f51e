package payment

import "github.com/seed-384b1f8a/tender/messages"

// status derives where the payment stands. Nothing stores it but Apply, so that it can't disagree with the rest:
// what needs a person comes first, then what isn't known, then what is in flight, then where the money rests.
func (p *Payment) status() messages.Status {
	if !p.Created() {
		return messages.StatusNone
	}
	if s := p.unsettledStatus(); s != "" {
		return s
	}
	if p.Closed != "" {
		return p.Closed
	}
	return p.restingStatus()
}

func (p *Payment) unsettledStatus() messages.Status {
	var unknown, voiding, capturing, authorizing bool
	for i := range p.Operations {
		op := &p.Operations[i]
		switch {
		case op.Status == OperationManualReview || op.Contradicted:
			return messages.StatusReview
		case op.Status == OperationUnknown:
			unknown = true
		case !op.inFlight():
		case isVoid(op):
			voiding = true
		case isCapture(op):
			capturing = true
		case isAuthorization(op):
			authorizing = true
		}
	}
	switch {
	case unknown:
		return messages.StatusUnknown
	case voiding:
		return messages.StatusVoiding
	case capturing:
		return messages.StatusCapturing
	case authorizing:
		return messages.StatusAuthorizing
	default:
		return ""
	}
}

func (p *Payment) restingStatus() messages.Status {
	switch {
	case p.RefundedMinor > 0 && p.RefundedMinor == p.CapturedMinor && p.UncapturedMinor() == 0:
		return messages.StatusRefunded
	case p.RefundedMinor > 0:
		return messages.StatusPartiallyRefunded
	case p.CapturedMinor > 0 && p.UncapturedMinor() > 0:
		return messages.StatusPartiallyCaptured
	case p.CapturedMinor > 0:
		return messages.StatusCaptured
	case p.AuthorizedMinor > 0:
		return messages.StatusAuthorized
	case p.NextAction != nil:
		return messages.StatusRequiresAction
	case p.Decline != nil:
		return messages.StatusRequiresPaymentMethod
	default:
		return messages.StatusCreated
	}
}
