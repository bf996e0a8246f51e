package payment

import "github.com/seed-384b1f8a/tender/messages"

// resolve records what an operator found out about an operation that the gateway could not be brought to settle.
func (d *draft) resolve(c *messages.Resolve) {
	op := d.Payment.Operation(c.OperationID)
	switch {
	case op == nil:
		d.refuse(messages.RejectOperationNotFound, "the payment has no operation "+c.OperationID)
		return
	case op.Status != OperationUnknown && op.Status != OperationManualReview && !op.Contradicted:
		d.refuse(messages.RejectInvalidState, "operation "+op.ID+" is "+string(op.Status)+": there is nothing to resolve")
		return
	}
	succeeded := c.Outcome == messages.ResolvedSucceeded
	if op.Contradicted && d.refuseReversal(op, succeeded) {
		return
	}
	unchanged := op.Contradicted && succeeded == (op.Status == OperationSucceeded)
	d.record(&messages.PaymentOutcomeResolved{
		Attempt: op.attempt(messages.Outcome{}), Kind: op.Kind, Outcome: resolvedKind(succeeded), ResolvedBy: "operator",
		Actor: c.Actor, Reason: c.Reason, Evidence: c.Evidence,
	})
	switch {
	case unchanged:
	case succeeded:
		d.succeed(op, messages.Outcome{GatewayReference: c.GatewayReference})
	default:
		d.fail(op, messages.Outcome{}, messages.Failure{Code: messages.FailureResolvedFailed, Message: c.Reason})
	}
}

func resolvedKind(succeeded bool) messages.OutcomeKind {
	if succeeded {
		return messages.OutcomeSucceeded
	}
	return messages.OutcomeDeclined
}

// refuseReversal refuses to turn a recorded outcome around where the money no longer allows it: what was recorded as
// moved is taken back with a void or a refund, and what others have taken since can't be taken again.
func (d *draft) refuseReversal(op *Operation, succeeded bool) bool {
	p := d.Payment
	switch {
	case !succeeded && op.Status == OperationSucceeded:
		d.refuse(messages.RejectInvalidState, "operation "+op.ID+" is recorded as succeeded: void or refund it instead")
	case !succeeded || op.Status == OperationSucceeded:
		return false
	case isAuthorization(op) && (p.AuthorizedMinor > 0 || p.Closed == messages.StatusVoided || p.Closed == messages.StatusExpired):
		d.refuse(messages.RejectInvalidState, "the payment has been authorized, voided or expired otherwise since")
	case isAuthorization(op) && p.openAmong(isAuthorization, isVoid) != nil:
		d.refuse(messages.RejectOperationInProgress, "another authorization or a void is in progress")
	case isVoid(op) && op.AmountMinor == 0 && p.AuthorizedMinor > 0:
		d.refuse(messages.RejectInvalidState, "the payment that operation "+op.ID+" canceled has been authorized since")
	case isCapture(op) && op.AmountMinor > p.CapturableMinor():
		d.refuse(messages.RejectAmountExceedsCapturable, "what operation "+op.ID+" took is no longer capturable")
	case isVoid(op) && op.AmountMinor > p.CapturableMinor():
		d.refuse(messages.RejectAmountExceedsCapturable, "what operation "+op.ID+" released has been captured since")
	case op.Kind == messages.OperationRefund && op.AmountMinor > p.RefundableMinor():
		d.refuse(messages.RejectAmountExceedsRefundable, "what operation "+op.ID+" gave back is no longer refundable")
	default:
		return false
	}
	return true
}
