package payment

import (
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
	if call.Behalf == "" {
		d.settle(op, call, outcome)
		return d.Decision
	}
	void := d.Payment.Operation(call.Behalf)
	if void == nil || void.settled() || void.Status == OperationManualReview {
		// Another answer came first; this one is still an answer about the authorization.
		d.settle(op, call, outcome)
		return d.Decision
	}
	d.settleQuestion(void, op, call, outcome)
	return d.Decision
}

func (d *draft) settle(op *Operation, call Call, outcome messages.Outcome) {
	switch {
	case op.settled():
		d.compareWithRecord(op, outcome)
		return
	case op.Status == OperationRequiresAction && !decides(outcome) && outcome.Kind != messages.OutcomePending:
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
			d.askAgain(op, outcome)
			return
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

// settleSucceeded books what moved, also where it is not what was asked. A success that names no
// amount proves nothing, but for a void, which releases the rest.
func (d *draft) settleSucceeded(op *Operation, outcome messages.Outcome) {
	if outcome.AmountMinor == 0 && !isVoid(op) {
		outcome.Detail = "the gateway reports a success without an amount"
		d.settleClaimed(op, outcome)
		return
	}
	d.resolved(op, outcome)
	if isVoid(op) {
		d.voided(op, outcome)
		return
	}
	before := d.Payment.ShortfallMinor
	d.succeed(op, outcome)
	if over := outcome.AmountMinor - op.movedMinor(); isCompensation(op) && over > 0 {
		d.openReviewOf(op, outcome, messages.PaymentReviewOpened{
			Reason: messages.ReviewAmount, Detail: "the gateway gave more back than there was to be", AmountExcessMinor: over,
		})
		return
	}
	if outcome.AmountMinor != op.AmountMinor {
		d.openReview(op, outcome, messages.ReviewAmount, "the gateway moved another amount than it was asked for")
		return
	}
	if short := d.Payment.ShortfallMinor; short > before {
		d.openReview(op, outcome, messages.ReviewReversal,
			fmt.Sprintf("%d was given back to the customer and taken back by the bank as well", short))
	}
}

// settleClaimed records a success that names no amount: the gateway is asked at once. The claim is
// remembered, so that a later decline is a contradiction.
func (d *draft) settleClaimed(op *Operation, outcome messages.Outcome) {
	switch {
	case op.Claimed:
		d.settleUnknown(op, outcome)
	case op.Status == OperationManualReview:
		d.openReviewOf(op, outcome, messages.PaymentReviewOpened{
			Reason: messages.ReviewAmount, Detail: outcome.Detail, Claimed: true,
		})
	default:
		d.about(op, &messages.PaymentOutcomeUnknown{
			Attempt: op.attempt(outcome), Kind: op.Kind, AmountMinor: op.AmountMinor, Detail: outcome.Detail,
			NextCheckAt: d.env.Now, Claimed: true,
		})
	}
}

// succeed records what the operation's success means. The part beyond what was asked for is an
// excess.
func (d *draft) succeed(op *Operation, outcome messages.Outcome) {
	p, attempt := d.Payment, op.attempt(outcome)
	booked := min(outcome.AmountMinor, op.AmountMinor)
	excess := outcome.AmountMinor - booked
	if isCompensation(op) {
		// Banks may have taken a part of the excess back meanwhile.
		booked = min(booked, p.Operation(op.Target).ExcessMinor)
		d.about(op, &messages.PaymentCompensated{
			Attempt: attempt, CompensatesOperationID: op.Target, Kind: op.Kind, AmountMinor: booked,
			GatewayReference: outcome.GatewayReference,
		})
		return
	}
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		d.authorized(op, outcome, booked, excess)
	case messages.OperationCapture:
		var released int64
		if op.Final {
			released = p.uncapturedAt(p.Operation(op.Target)) - booked
		}
		d.about(op, &messages.PaymentCaptured{
			Attempt: attempt, AmountMinor: booked, AmountExcessMinor: excess,
			AmountCapturedMinor:   p.CapturedMinor + booked,
			AmountCapturableMinor: p.CapturableMinor() + d.reservedBy(op) - booked - released,
			Final:                 op.Final, GatewayReference: outcome.GatewayReference, AmountReleasedMinor: released,
		})
	case messages.OperationVoid:
		d.voided(op, outcome)
	case messages.OperationRefund:
		d.about(op, &messages.RefundSucceeded{
			Attempt: attempt, AmountMinor: booked, AmountExcessMinor: excess,
			AmountRefundedMinor: p.RefundedMinor + booked, GatewayReference: outcome.GatewayReference,
		})
	}
}

// authorized records the success of an authorize or a confirm.
func (d *draft) authorized(op *Operation, outcome messages.Outcome, booked, excess int64) {
	reference := outcome.GatewayReference
	if reference == "" {
		reference = d.Payment.reference(op)
	}
	if d.Payment.CaptureMethod == messages.CaptureAutomatic {
		d.about(op, &messages.PaymentCaptured{
			Attempt: op.attempt(outcome), AmountMinor: booked, AmountExcessMinor: excess,
			AmountCapturedMinor: d.Payment.CapturedMinor + booked, Final: true, GatewayReference: reference,
		})
		return
	}
	before := micros(outcome.CaptureBefore)
	if !before.After(d.env.Now) {
		// A time in the past is no time: it must not end a fresh authorization.
		before = d.env.Now.Add(d.env.Policy.AuthorizationExpiry)
	}
	d.about(op, &messages.PaymentAuthorized{
		Attempt: op.attempt(outcome), AmountMinor: booked, AmountExcessMinor: excess, GatewayReference: reference,
		CaptureBefore: micros(before), WarnAt: d.warnAt(before),
	})
}

// reservedBy is the amount that an open operation holds back; a settled one that is found anew to
// have succeeded holds nothing.
func (d *draft) reservedBy(op *Operation) int64 {
	if op.Open() {
		return op.AmountMinor
	}
	return 0
}

func (d *draft) settleDeclined(op *Operation, outcome messages.Outcome) {
	switch {
	case outcome.Decline.Class == messages.DeclineLookUpFirst:
		// A gateway that sees a duplicate has not said what became of the first: that is to be
		// asked.
		outcome.Detail = "declined as " + outcome.Decline.Code
		d.settleUnknown(op, outcome)
		return
	case op.Claimed:
		// It said before that it had succeeded.
		if op.Status != OperationManualReview {
			d.openReview(op, outcome, messages.ReviewContradiction, "declined after a success without an amount")
		}
		return
	case isVoid(op):
		d.voidRefused(op, outcome)
		return
	}
	d.resolved(op, outcome)
	switch {
	case !isAuthorization(op):
		d.fail(op, outcome, messages.Failure{
			Code: outcome.Decline.Code, Class: outcome.Decline.Class, Message: outcome.Detail,
		})
	case op.Kind == messages.OperationConfirm || op.Actionable:
		d.about(op, &messages.OperationDeclined{Attempt: op.attempt(outcome), Decline: *outcome.Decline})
		d.closeAction(op)
	default:
		d.declined(op, outcome)
	}
}

// declined records the decline of an authorization that moved nothing and never will, and tries
// another gateway where the route allows it.
func (d *draft) declined(op *Operation, outcome messages.Outcome) {
	switch {
	case op.Previous != "" && foreignToken(outcome.Decline.Code):
		d.about(op, &messages.OperationDeclined{Attempt: op.attempt(outcome), Decline: *outcome.Decline})
		d.fallBack(op)
	case d.mayFailOver(op, outcome):
		d.about(op, &messages.OperationDeclined{Attempt: op.attempt(outcome), Decline: *outcome.Decline})
		d.failOver(op.ID, messages.FailoverDeclined)
	default:
		d.about(op, &messages.PaymentDeclined{
			Attempt: op.attempt(outcome), Decline: *outcome.Decline, RetryAt: d.retryAt(op, *outcome.Decline),
		})
	}
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

// fail records what the operation's failure means: proof that it moved nothing and never will. An
// authorization that was declined is recorded as that instead.
func (d *draft) fail(op *Operation, answer messages.Outcome, failure messages.Failure) {
	attempt := op.attempt(answer)
	if isCompensation(op) {
		d.about(op, &messages.PaymentCompensationFailed{
			Attempt: attempt, Failure: failure, CompensatesOperationID: op.Target, Kind: op.Kind, AmountMinor: op.AmountMinor,
		})
		return
	}
	switch op.Kind {
	case messages.OperationAuthorize:
		d.about(op, &messages.PaymentFailed{
			OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer), Failure: failure,
		})
	case messages.OperationConfirm:
		d.about(op, &messages.PaymentConfirmFailed{Attempt: attempt, Failure: failure})
	case messages.OperationCapture:
		d.about(op, &messages.PaymentCaptureFailed{Attempt: attempt, Failure: failure, AmountMinor: op.AmountMinor})
	case messages.OperationVoid:
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

// settlePending records that the gateway finishes an operation later. That it still does is not
// recorded; after too long a person is asked.
func (d *draft) settlePending(op *Operation, outcome messages.Outcome) {
	switch {
	case op.Status == OperationManualReview:
	case !op.PendingSince.IsZero() && d.env.Now.Sub(op.PendingSince) >= d.env.Policy.pendingMax(op.Kind):
		d.openReview(op, outcome, messages.ReviewOverdue, "the gateway has been processing it since "+op.PendingSince.Format(time.RFC3339))
	case op.Status == OperationPending:
		d.again(op, op.pendingCheckAt(d.env.Now))
	default:
		d.about(op, &messages.PaymentProcessing{
			Attempt: op.attempt(outcome), Kind: op.Kind, AmountMinor: op.AmountMinor, GatewayReference: outcome.GatewayReference,
			NextCheckAt: micros(d.env.Now.Add(d.env.Policy.PendingCheck)),
		})
	}
}

// again asks for a further question without an event: nothing changed.
func (d *draft) again(op *Operation, at time.Time) {
	d.Again = &Again{OperationID: op.ID, At: micros(at)}
}

// askAgain puts off a question that could not be asked. It is no rung of the ladder.
func (d *draft) askAgain(op *Operation, outcome messages.Outcome) {
	switch op.Status {
	case OperationPending:
		d.again(op, op.pendingCheckAt(d.env.Now))
	case OperationUnknown:
		since := op.UnknownSince
		wait := min(max(d.env.Policy.NotSentInitial, d.env.Now.Sub(since)), d.env.Policy.NotSentMax)
		d.again(op, d.env.Now.Add(max(wait, outcome.RetryAfter)))
	case OperationManualReview:
	default:
		d.settleUnknown(op, outcome)
	}
}

// settleNotSent records proof that this attempt never left. It is proof for the operation only if
// no other call can have been made for it: no earlier attempt without an answer, no later one by
// another worker.
func (d *draft) settleNotSent(op *Operation, call Call, outcome messages.Outcome) {
	wait := d.env.Policy.notSentDelay(op, d.env.Now, outcome)
	switch {
	case op.Status == OperationManualReview:
	case op.Status == OperationUnknown || op.Status == OperationPending:
		d.askAgain(op, outcome)
	case op.Unproven || op.Status != OperationSent || op.Attempt != call.Operation.Attempt:
		d.settleUnknown(op, outcome)
	case d.mayFailOver(op, outcome):
		d.about(op, &messages.OperationNotSent{Attempt: op.attempt(outcome), Detail: outcome.Detail})
		d.failOver(op.ID, messages.FailoverNotSent)
	case d.Payment.firstRound(op):
		d.about(op, &messages.PaymentParked{
			Attempt: op.attempt(outcome), Kind: op.Kind, Detail: outcome.Detail, RetryAt: micros(d.env.Now.Add(wait)),
		})
	case op.Purpose == "" && d.env.Now.Add(wait).After(op.NotSentSince.Add(d.env.Policy.NotSentGiveUp)):
		d.fail(op, outcome, messages.Failure{Code: messages.FailureGatewayUnavailable, Message: outcome.Detail})
	default:
		// What Tender sends of its own accord is not given up: no person waits to send it anew.
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
	case op.Status == OperationPending && outcome.Kind != messages.OutcomeNotFound && !decides(outcome):
		// The gateway has taken it: that one question found no answer changes nothing.
		d.again(op, op.pendingCheckAt(d.env.Now))
	case op.Status == OperationUnknown && d.env.Now.Before(op.NextCheckAt):
		// A person, a webhook or a command asked before the time: that climbs no rung.
		d.again(op, op.NextCheckAt)
	case op.Status == OperationUnknown:
		age, more := policy.unknownRung(op.Checks + 1)
		if !more {
			d.openReview(op, outcome, messages.ReviewUnknown, outcome.Detail)
			return
		}
		next := op.UnknownSince.Add(age)
		if next.Before(d.env.Now) {
			next = d.env.Now
		}
		d.about(op, &messages.OperationChecked{
			Attempt: op.attempt(outcome), Outcome: outcome.Kind, Detail: outcome.Detail, NextCheckAt: micros(next),
		})
	default:
		age, more := policy.unknownRung(op.Checks)
		if !more {
			d.openReview(op, outcome, messages.ReviewUnknown, outcome.Detail)
			return
		}
		d.about(op, &messages.PaymentOutcomeUnknown{
			Attempt: op.attempt(outcome), Kind: op.Kind, AmountMinor: op.AmountMinor, Detail: outcome.Detail,
			NextCheckAt: micros(d.env.Now.Add(age)),
		})
	}
}
