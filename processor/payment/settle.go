package payment

import (
	"cmp"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// Settle decides what a gateway's answer to a call means. p may have moved on since the call was
// decided: an answer that was recorded meanwhile changes nothing, one that contradicts the record
// opens a review. cmd is the command under which the call was made.
func Settle(p *Payment, cmd messages.Command, call Call, outcome messages.Outcome, env Env) Decision {
	d := newDraft(p, cmd, env)
	op := d.Payment.Operation(call.Operation.ID)
	if op == nil {
		panic("payment: settles operation " + call.Operation.ID + ", which is not there")
	}
	d.settle(op, call, outcome)
	return d.Decision
}

func (d *draft) settle(op *Operation, call Call, outcome messages.Outcome) {
	switch {
	case op.Contradicted:
		return
	case op.settled():
		d.compareWithRecord(op, outcome)
		return
	case op.Status == OperationRequiresAction && !decides(outcome):
		return
	}
	switch outcome.Kind {
	case messages.OutcomeSucceeded:
		d.settleSucceeded(op, outcome)
	case messages.OutcomeDeclined:
		d.settleDeclined(op, outcome)
	case messages.OutcomeRequiresAction:
		d.settleRequiresAction(op, outcome)
	case messages.OutcomePending:
		d.settlePending(op, outcome)
	case messages.OutcomeNotSent:
		d.settleNotSent(op, call, outcome)
	case messages.OutcomeUnknown, messages.OutcomeNotFound:
		if call.Lookup && outcome.Tries == 0 {
			// No gateway was asked: the breaker is open, or there was no free place.
			outcome.Kind = messages.OutcomeNotSent
			d.settleNotSent(op, call, outcome)
			break
		}
		d.settleUnknown(op, outcome)
	default:
		panic("payment: outcome of the unknown kind " + string(outcome.Kind))
	}
}

// decides reports whether an outcome says how an operation ended.
func decides(o messages.Outcome) bool {
	return o.Kind == messages.OutcomeSucceeded || o.Kind == messages.OutcomeDeclined
}

// about records an event about an operation, caused by the command that asked for the operation.
func (d *draft) about(op *Operation, data messages.EventData) { d.recordCausedBy(data, op.CausedBy) }

// compareWithRecord looks at a late answer to an operation that is settled. That an operation
// succeeded which was taken back since is no news and contradicts nothing: reversals are of
// successes only.
func (d *draft) compareWithRecord(op *Operation, outcome messages.Outcome) {
	contradicts := outcome.Kind == messages.OutcomeSucceeded && op.Status == OperationFailed && op.ReversedMinor == 0 ||
		outcome.Kind == messages.OutcomeDeclined && op.Status == OperationSucceeded
	if contradicts {
		d.openReview(op, outcome, "contradiction",
			"recorded as "+string(op.Status)+", the gateway now says "+string(outcome.Kind))
	}
}

func (d *draft) openReview(op *Operation, outcome messages.Outcome, reason, detail string) {
	d.about(op, &messages.PaymentReviewOpened{
		Attempt: op.attempt(outcome), Kind: op.Kind, Reason: reason, Detail: detail,
	})
}

func (d *draft) settleSucceeded(op *Operation, outcome messages.Outcome) {
	// A void releases the rest, which the gateway may count in its own way.
	if outcome.AmountMinor != 0 && outcome.AmountMinor != op.AmountMinor && !isVoid(op) {
		if op.Status != OperationManualReview {
			d.openReview(op, outcome, "amount_mismatch", "the gateway answers with another amount than it was asked for")
		}
		return
	}
	d.resolved(op, outcome)
	d.succeed(op, outcome)
}

func (d *draft) settleDeclined(op *Operation, outcome messages.Outcome) {
	// A gateway that sees a duplicate has not said what became of the first: that is to be asked.
	if outcome.Decline.Class == messages.DeclineLookUpFirst {
		outcome.Detail = "declined as " + outcome.Decline.Code
		d.settleUnknown(op, outcome)
		return
	}
	d.resolved(op, outcome)
	switch {
	case d.mayFailOver(op, outcome):
		d.about(op, &messages.OperationDeclined{Attempt: op.attempt(outcome), Decline: *outcome.Decline})
		d.failOver(op.ID, messages.FailoverDeclined)
		return
	case isAuthorization(op):
		d.about(op, &messages.PaymentDeclined{
			Attempt: op.attempt(outcome), Decline: *outcome.Decline, RetryAt: d.retryAt(op, *outcome.Decline),
		})
		return
	}
	d.fail(op, outcome, messages.Failure{
		Code: outcome.Decline.Code, Class: outcome.Decline.Class, Message: outcome.Detail,
	})
}

// resolved records that the gateway ended an unknown outcome or a review, if this is one.
func (d *draft) resolved(op *Operation, outcome messages.Outcome) {
	if op.Status != OperationUnknown && op.Status != OperationManualReview {
		return
	}
	d.about(op, &messages.PaymentOutcomeResolved{
		Attempt: op.attempt(messages.Outcome{}), Kind: op.Kind, Outcome: outcome.Kind, ResolvedBy: "gateway",
	})
}

// succeed records what the operation's success means.
func (d *draft) succeed(op *Operation, outcome messages.Outcome) {
	p, attempt := d.Payment, op.attempt(outcome)
	reference := outcome.GatewayReference
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		if reference == "" {
			reference = p.GatewayReference
		}
		if p.CaptureMethod == messages.CaptureAutomatic {
			d.about(op, &messages.PaymentCaptured{
				Attempt: attempt, AmountMinor: op.AmountMinor, AmountCapturedMinor: op.AmountMinor,
				Final: true, GatewayReference: reference,
			})
			return
		}
		before := micros(outcome.CaptureBefore)
		if before.IsZero() {
			before = d.env.Now.Add(d.env.Policy.AuthorizationExpiry)
		}
		d.about(op, &messages.PaymentAuthorized{
			Attempt: attempt, AmountMinor: op.AmountMinor, GatewayReference: reference, CaptureBefore: micros(before),
			WarnAt: d.warnAt(before),
		})
	case messages.OperationCapture:
		d.captured(op, attempt, reference)
	case messages.OperationVoid:
		d.voided(op, outcome)
	case messages.OperationRefund:
		d.about(op, &messages.RefundSucceeded{
			Attempt: attempt, AmountMinor: op.AmountMinor, AmountRefundedMinor: p.RefundedMinor + op.AmountMinor,
			GatewayReference: reference,
		})
	}
}

func (d *draft) captured(op *Operation, attempt messages.Attempt, reference string) {
	p := d.Payment
	var released int64
	if op.Final {
		released = p.UncapturedMinor() - op.AmountMinor
	}
	d.about(op, &messages.PaymentCaptured{
		Attempt: attempt, AmountMinor: op.AmountMinor,
		AmountCapturedMinor:   p.CapturedMinor + op.AmountMinor,
		AmountCapturableMinor: p.CapturableMinor() + d.reservedBy(op) - op.AmountMinor - released,
		Final:                 op.Final, GatewayReference: reference, AmountReleasedMinor: released,
	})
}

// reservedBy is what an open operation holds back; a settled one that is found anew to have
// succeeded holds nothing.
func (d *draft) reservedBy(op *Operation) int64 {
	if op.Open() {
		return op.AmountMinor
	}
	return 0
}

func (d *draft) voided(op *Operation, answer messages.Outcome) {
	if op.Expires == messages.ExpiredAction && d.Payment.CapturedMinor > 0 {
		d.openReview(op, answer, "contradiction", "voided as never confirmed, and yet captured")
		return
	}
	if op.Expires != "" {
		d.about(op, &messages.PaymentExpired{
			OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer),
			AmountReleasedMinor: d.releasedBy(op), Expired: op.Expires,
		})
		return
	}
	d.about(op, &messages.PaymentVoided{
		OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer),
		AmountReleasedMinor: d.releasedBy(op), Reason: op.Reason,
	})
}

// releasedBy is what a void gives back: all that is left, also of what the customer authorized
// while it was under way.
func (d *draft) releasedBy(op *Operation) int64 {
	if op.settled() {
		return op.AmountMinor
	}
	return d.Payment.UncapturedMinor()
}

// lapsed reports whether the refusal of a void means that the gateway itself had ended what the
// void was to end.
func (d *draft) lapsed(op *Operation, failure messages.Failure) bool {
	ended := op.Expires == messages.ExpiredAuthorization ||
		op.Expires == messages.ExpiredAction && d.Payment.AuthorizedMinor == 0
	return ended && failure.Code != messages.FailureGatewayUnavailable
}

// fail records what the operation's failure means. An authorization that was declined is recorded
// as that instead.
func (d *draft) fail(op *Operation, answer messages.Outcome, failure messages.Failure) {
	attempt := op.attempt(answer)
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		d.about(op, &messages.PaymentFailed{
			OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer), Failure: failure,
		})
	case messages.OperationCapture:
		d.about(op, &messages.PaymentCaptureFailed{Attempt: attempt, Failure: failure, AmountMinor: op.AmountMinor})
	case messages.OperationVoid:
		if d.lapsed(op, failure) {
			d.voided(op, answer)
			return
		}
		d.about(op, &messages.PaymentVoidFailed{Attempt: attempt, Failure: failure})
	case messages.OperationRefund:
		d.about(op, &messages.RefundFailed{Attempt: attempt, Failure: failure, AmountMinor: op.AmountMinor})
	}
}

func (d *draft) settleRequiresAction(op *Operation, outcome messages.Outcome) {
	if !isAuthorization(op) || outcome.NextAction == nil {
		outcome.Detail = "the gateway asks for an action that a " + string(op.Kind) + " can't have"
		d.settleUnknown(op, outcome)
		return
	}
	d.resolved(op, outcome)
	d.about(op, &messages.PaymentActionRequired{
		Attempt: op.attempt(outcome), GatewayReference: outcome.GatewayReference, NextAction: *outcome.NextAction,
		ConfirmBefore: d.env.Now.Add(d.env.Policy.ActionExpiry),
	})
}

func (d *draft) settlePending(op *Operation, outcome messages.Outcome) {
	next := d.env.Now.Add(d.env.Policy.PendingCheck)
	switch {
	case op.Status == OperationManualReview:
	case op.Status == OperationUnknown || op.Pending:
		d.checked(op, outcome, next)
	default:
		d.about(op, &messages.OperationPending{
			Attempt: op.attempt(outcome), GatewayReference: outcome.GatewayReference, NextCheckAt: micros(next),
		})
	}
}

func (d *draft) checked(op *Operation, outcome messages.Outcome, next time.Time) {
	d.about(op, &messages.OperationChecked{
		Attempt: op.attempt(outcome), Outcome: outcome.Kind, Detail: outcome.Detail, NextCheckAt: micros(next),
	})
}

// settleNotSent records proof that this attempt never left. It is proof for the operation only if
// no other call can have been made for it: no earlier attempt without an answer, no later one by
// another worker.
func (d *draft) settleNotSent(op *Operation, call Call, outcome messages.Outcome) {
	wait := d.env.Policy.notSentDelay(op, d.env.Now, outcome.RetryAfter)
	switch {
	case op.Status == OperationManualReview:
	case op.Status == OperationUnknown || op.Pending:
		// Not asked, so not a rung of the ladder: the same check again, later.
		d.checked(op, outcome, d.env.Now.Add(wait))
	case op.Unproven || op.Status != OperationSent || op.Attempt != call.Operation.Attempt:
		d.settleUnknown(op, outcome)
	case d.mayFailOver(op, outcome):
		d.about(op, &messages.OperationNotSent{Attempt: op.attempt(outcome), Detail: outcome.Detail})
		d.failOver(op.ID, messages.FailoverNotSent)
	case d.Payment.firstRound(op):
		d.about(op, &messages.PaymentParked{
			Attempt: op.attempt(outcome), Kind: op.Kind, Detail: outcome.Detail, RetryAt: micros(d.env.Now.Add(wait)),
		})
	case d.env.Now.Add(wait).After(op.NotSentSince.Add(d.env.Policy.NotSentGiveUp)):
		d.fail(op, outcome, messages.Failure{Code: messages.FailureGatewayUnavailable, Message: outcome.Detail})
	default:
		d.about(op, &messages.OperationNotSent{
			Attempt: op.attempt(outcome), Detail: outcome.Detail, RetryAt: micros(d.env.Now.Add(wait)),
		})
	}
}

// settleUnknown keeps the money reserved and climbs the ladder: check again, later and later, then
// ask a person.
func (d *draft) settleUnknown(op *Operation, outcome messages.Outcome) {
	policy := d.env.Policy
	switch {
	case op.Status == OperationManualReview:
	case op.Pending && op.Status != OperationUnknown:
		d.checked(op, outcome, d.env.Now.Add(policy.PendingCheck))
	case op.Status == OperationUnknown:
		age, more := policy.unknownRung(op.Checks + 1)
		if !more {
			d.openReview(op, outcome, "outcome_unknown", outcome.Detail)
			return
		}
		next := op.UnknownSince.Add(age)
		if next.Before(d.env.Now) {
			next = d.env.Now
		}
		d.checked(op, outcome, next)
	default:
		age, more := policy.unknownRung(0)
		if !more {
			d.openReview(op, outcome, "outcome_unknown", outcome.Detail)
			return
		}
		d.about(op, &messages.PaymentOutcomeUnknown{
			Attempt: op.attempt(outcome), Kind: op.Kind, AmountMinor: op.AmountMinor, Detail: outcome.Detail,
			NextCheckAt: micros(d.env.Now.Add(age)),
		})
	}
}

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
		o.NextAction = &messages.NextAction{Type: n.NextActionType, URL: n.NextActionURL}
	}
	if n.Outcome == messages.OutcomeDeclined {
		// A missing class must not open the way to another gateway.
		o.Decline = &messages.Decline{Code: cmp.Or(n.DeclineCode, "declined"), Class: cmp.Or(n.DeclineClass, messages.DeclineFixData)}
	}
	return o
}

// notifyReversal takes a success back as far as the money allows; where it has been given back to
// the customer already, a person has to look.
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
