package payment

import (
	"cmp"
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
)

func (d *draft) openReview(op *Operation, outcome messages.Outcome, reason, detail string) {
	d.openReviewOf(op, outcome, messages.PaymentReviewOpened{Reason: reason, Detail: detail})
}

func (d *draft) openReviewOf(op *Operation, outcome messages.Outcome, review messages.PaymentReviewOpened) {
	review.Attempt, review.Kind = op.attempt(outcome), op.Kind
	review.GatewayReference = outcome.GatewayReference
	d.about(op, &review)
}

// compareWithRecord looks at a late answer to an operation that is settled. An answer that reports
// more than is known of the operation is money that moved: it is recorded as an excess, and a person
// has to look. That a success was taken back since is no contradiction.
func (d *draft) compareWithRecord(op *Operation, outcome messages.Outcome) {
	recorded := op
	if confirmed := d.Payment.confirmedBy(op); confirmed != nil && op.Kind == messages.OperationAuthorize {
		recorded = confirmed
	}
	known := recorded.reportedMinor()
	detail := "recorded as " + string(op.Status) + ", the gateway now says " + string(outcome.Kind)
	switch {
	case outcome.Kind == messages.OutcomeDeclined && recorded.Status == OperationSucceeded && !isVoid(op):
		if op.Review == "" {
			d.openReview(op, outcome, messages.ReviewContradiction, detail)
		}
	case outcome.Kind != messages.OutcomeSucceeded:
	case isVoid(op):
		if op.Status == OperationFailed && op.Review == "" {
			d.openReview(op, outcome, messages.ReviewContradiction, detail)
		}
	case outcome.AmountMinor > known:
		d.openReviewOf(recorded, outcome, messages.PaymentReviewOpened{
			Reason: messages.ReviewContradiction, Detail: detail, AmountExcessMinor: outcome.AmountMinor - known,
		})
	case outcome.AmountMinor == 0 && op.Status == OperationFailed && known == 0 && op.Review == "":
		d.openReview(op, outcome, messages.ReviewContradiction, detail+" without an amount")
	}
}

// resolve records what an operator found out about an operation that is unknown or in review. A
// finding that differs from the record takes the record's place, as far as what moved since allows
// it; the part beyond that is an excess.
func (d *draft) resolve(c *messages.Resolve) {
	op := d.Payment.Operation(c.OperationID)
	switch {
	case op == nil:
		d.refuse(messages.RejectOperationNotFound, "the payment has no operation "+c.OperationID)
		return
	case op.Status != OperationUnknown && !op.InReview():
		d.refuse(messages.RejectInvalidState, "operation "+op.ID+" is "+string(op.Status)+": there is nothing to resolve")
		return
	}
	if giving := d.Payment.compensating(op); giving != nil {
		// It would be booked, and given back as well.
		d.refuseOpen(giving)
		return
	}
	finding := messages.PaymentOutcomeResolved{
		Attempt: op.attempt(messages.Outcome{}), Kind: op.Kind, Outcome: messages.OutcomeDeclined, ResolvedBy: "operator",
		Actor: c.Actor, Reason: c.Reason, Evidence: c.Evidence,
	}
	if c.Outcome == messages.ResolvedFailed {
		d.resolveFailed(op, finding, c)
		return
	}
	finding.Outcome = messages.OutcomeSucceeded
	if !isVoid(op) {
		finding.AmountMinor = cmp.Or(op.reportedMinor(), op.AmountMinor)
		if c.AmountMinor != nil {
			finding.AmountMinor = *c.AmountMinor
		}
	}
	reference := cmp.Or(c.GatewayReference, op.GatewayReference)
	if isAuthorization(op) && cmp.Or(reference, d.Payment.reference(op)) == "" {
		d.refuse(messages.RejectReferenceRequired,
			"what follows on "+string(op.Kind)+" "+op.ID+" needs the gateway's reference: give gateway_reference")
		return
	}
	d.resolveSucceeded(op, finding, reference)
}

// resolveFailed records that an operation moved nothing.
func (d *draft) resolveFailed(op *Operation, finding messages.PaymentOutcomeResolved, c *messages.Resolve) {
	unchanged := op.stands(false, 0)
	finding.Accepted = unchanged
	if !unchanged && !d.possible(op, &finding) {
		d.refuse(messages.RejectInvalidState,
			"operation "+op.ID+" is recorded as succeeded, and money moved since because of it: void or refund it instead")
		return
	}
	d.record(&finding)
	if unchanged {
		return
	}
	if op.Kind == messages.OperationConfirm || op.Kind == messages.OperationAuthorize && op.Actionable {
		// The customer's page may still be open.
		d.about(op, &messages.OperationDeclined{Attempt: op.attempt(messages.Outcome{}), Decline: messages.Decline{
			Code: messages.FailureResolvedFailed, Class: messages.DeclineNeverRetry,
		}})
		d.closeAction(op)
		return
	}
	d.fail(op, messages.Outcome{}, messages.Failure{Code: messages.FailureResolvedFailed, Message: c.Reason})
}

// possible reports whether a finding can take the place of the record without breaking a limit.
func (d *draft) possible(op *Operation, finding *messages.PaymentOutcomeResolved) bool {
	trial := d.Payment.Clone()
	found := trial.Operation(op.ID)
	found.resolve(finding)
	found.settle(OperationFailed)
	trial.sum()
	return trial.brokenLimit() == ""
}

// resolveSucceeded records that an operation moved an amount.
func (d *draft) resolveSucceeded(op *Operation, finding messages.PaymentOutcomeResolved, reference string) {
	amount := finding.AmountMinor - op.CompensatedMinor
	booked := min(amount, op.AmountMinor)
	bookable := op.ExcessMinor > 0 && booked > op.movedMinor() && booked <= d.room(op)
	if op.stands(true, finding.AmountMinor) && !bookable {
		finding.Accepted = true
		d.record(&finding)
		return
	}
	if op.settled() && isCompensation(op) {
		// What it gave back was taken off its target: nothing is taken off a second time.
		finding.Accepted = true
		d.record(&finding)
		return
	}
	if op.settled() && !isVoid(op) && booked > d.room(op) {
		d.resolveExcess(op, finding, amount)
		return
	}
	if op.settled() && !d.possible(op, &finding) {
		d.refuse(messages.RejectInvalidState, "money moved since because of operation "+op.ID+": it cannot be recorded anew")
		return
	}
	if isVoid(op) && op.settled() && op.AmountMinor > d.Payment.CapturableMinor() {
		d.refuse(messages.RejectAmountExceedsCapturable, "what operation "+op.ID+" released has been captured since")
		return
	}
	d.record(&finding)
	if isVoid(op) {
		// A person has the last word: the zero outcome takes no captured money for a contradiction.
		d.voided(op, messages.Outcome{GatewayReference: reference})
		return
	}
	d.succeed(op, messages.Outcome{AmountMinor: amount, GatewayReference: reference})
	if amount > booked {
		d.openReview(op, messages.Outcome{}, messages.ReviewAmount,
			fmt.Sprintf("%d moved, of which %d may be booked", amount, booked))
	}
}

// resolveExcess is resolveSucceeded where the amount may not be booked. A charge is to be given
// back; money that a refund gave away is gone, and a person accepts that.
func (d *draft) resolveExcess(op *Operation, finding messages.PaymentOutcomeResolved, amount int64) {
	switch {
	case isRefund(op):
		finding.Accepted = true
		d.record(&finding)
	case isCapture(op):
		d.refuse(messages.RejectAmountExceedsCapturable, "operation "+op.ID+" took what is no longer capturable: compensate it")
	default:
		d.refuse(messages.RejectInvalidState,
			"the payment has been authorized, voided or expired otherwise since: compensate operation "+op.ID)
	}
}

// room is the amount that may be booked of a settled operation if it is booked anew.
func (d *draft) room(op *Operation) int64 {
	p := d.Payment
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		other := p.latestAuthorization(func(o *Operation) bool {
			return o.ID != op.ID && o.ID != op.Target && (o.Open() || o.Status == OperationRequiresAction || o.AuthorizedMinor > 0)
		})
		if other != nil || p.openAmong(isVoid) != nil || p.Closed == messages.StatusVoided || p.Closed == messages.StatusExpired {
			return 0
		}
		return p.AmountMinor
	case messages.OperationCapture:
		return p.CapturableMinor() + op.CapturedMinor
	case messages.OperationRefund:
		return p.everCapturedMinor() - p.RefundedMinor - p.reservedMinor(isRefund) + op.RefundedMinor
	case messages.OperationVoid:
	}
	return 0
}

// compensating returns the compensation of an operation that is under way, nil if there is none.
func (p *Payment) compensating(target *Operation) *Operation {
	return p.openAmong(func(op *Operation) bool { return isCompensation(op) && op.Target == target.ID })
}

// compensate gives back what one operation moved beyond what may be booked: by a void where it is
// only authorized, by a refund where it was captured.
func (d *draft) compensate(c *messages.Compensate) {
	p := d.Payment
	target := p.Operation(c.OperationID)
	if target == nil {
		d.refuse(messages.RejectOperationNotFound, "the payment has no operation "+c.OperationID)
		return
	}
	rest := target.ExcessMinor
	if giving := p.compensating(target); giving != nil {
		d.refuseOpen(giving)
		return
	}
	kind := messages.OperationRefund
	if isAuthorization(target) && p.CaptureMethod != messages.CaptureAutomatic {
		kind = messages.OperationVoid
	}
	amount := rest
	if c.AmountMinor != nil {
		amount = *c.AmountMinor
	}
	switch {
	case rest == 0 || isRefund(target):
		d.refuse(messages.RejectNothingToCompensate, "operation "+target.ID+" has nothing that can be given back")
	case amount > rest:
		d.refuse(messages.RejectAmountExceedsExcess, fmt.Sprintf("%d exceeds the excess %d", amount, rest))
	case kind == messages.OperationVoid && (target.AuthorizedMinor > 0 || amount < rest):
		d.refuse(messages.RejectInvalidState,
			"an authorization is released whole: void or capture the payment, and the excess is released with it")
	case p.reference(target) == "":
		d.refuse(messages.RejectReferenceRequired,
			"operation "+target.ID+" has no gateway reference: resolve it with gateway_reference first")
	default:
		d.send(target, messages.OperationSent{
			Kind: kind, AmountMinor: amount, Purpose: messages.PurposeCompensate, Reason: c.Reason,
		})
	}
}
