package payment

import (
	"github.com/seed-384b1f8a/tender/messages"
)

// The decline codes of a void that prove that the authorization holds nothing any more. Any other
// refusal of a void is a question: what became of the authorization? It may have been captured, or
// the gateway may not have looked at it.
const (
	codeAuthorizationVoided  = "authorization_voided"
	codeAuthorizationExpired = "authorization_expired"
)

// voided records a void that succeeded: it released all that was left of its authorization, also
// what the customer authorized while it was under way. If the authorization was captured meanwhile,
// the two contradict each other.
func (d *draft) voided(op *Operation, answer messages.Outcome) {
	p := d.Payment
	if isCompensation(op) {
		d.succeed(op, messages.Outcome{AmountMinor: op.AmountMinor, Tries: answer.Tries, Latency: answer.Latency, GatewayReference: answer.GatewayReference})
		return
	}
	target := p.Operation(op.Target)
	if !target.settled() && answer.AmountMinor > 0 && p.CaptureMethod != messages.CaptureAutomatic {
		// The customer completed it at the last moment, and the void released that.
		d.authorized(target, messages.Outcome{GatewayReference: p.reference(target)}, min(answer.AmountMinor, target.AmountMinor), 0)
	}
	released := p.uncapturedAt(target)
	captured := p.capturedAt(target) > 0 && released < max(op.AmountMinor, 1)
	if captured && answer.Kind != "" {
		d.openReview(op, answer, messages.ReviewContradiction, "voided, and yet captured")
		return
	}
	switch op.Purpose {
	case messages.PurposeExpireAuthorization, messages.PurposeExpireAction:
		expired := messages.ExpiredAction
		if op.Purpose == messages.PurposeExpireAuthorization {
			expired = messages.ExpiredAuthorization
		}
		d.about(op, &messages.PaymentExpired{
			OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer),
			AmountReleasedMinor: released, Expired: expired,
		})
	case messages.PurposeCloseAction:
		d.closed(op, answer, released)
	case messages.PurposeCompensate, "":
		d.about(op, &messages.PaymentVoided{
			OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer),
			AmountReleasedMinor: released, Reason: op.Reason,
		})
	}
}

// pageOf returns the authorization whose page an authorize or a confirm belongs to.
func (p *Payment) pageOf(op *Operation) *Operation {
	if op.Kind == messages.OperationConfirm {
		return p.Operation(op.Target)
	}
	return op
}

// closeAction voids a declined authorization whose page the customer could still complete. What the
// decline leads to follows when the void is proven.
func (d *draft) closeAction(declined *Operation) {
	target := d.Payment.pageOf(declined)
	if reason := d.Payment.held(&Operation{Kind: messages.OperationVoid, Target: target.ID}); reason != "" {
		// A person has to look first; resume closes it afterwards.
		return
	}
	d.send(target, messages.OperationSent{Kind: messages.OperationVoid, Purpose: messages.PurposeCloseAction})
}

// closed goes on with the decline for which an authorization was closed. If the customer completed
// it at the last moment, what that moved is released.
func (d *draft) closed(op *Operation, answer messages.Outcome, released int64) {
	p := d.Payment
	target := p.Operation(op.Target)
	if released > 0 {
		d.about(op, &messages.PaymentVoided{
			OperationID: op.ID, Gateway: op.Gateway, Effort: op.effort(answer), AmountReleasedMinor: released,
		})
		return
	}
	d.about(op, &messages.OperationClosed{Attempt: op.attempt(answer)})
	declined := p.latestAuthorization(func(o *Operation) bool {
		return o.Decline != nil && (o.ID == target.ID || o.Target == target.ID)
	})
	if declined == nil {
		d.about(target, &messages.PaymentFailed{Failure: messages.Failure{Code: messages.FailureResolvedFailed}})
		return
	}
	outcome := messages.Outcome{Kind: messages.OutcomeDeclined, Decline: declined.Decline}
	if d.mayFailOver(declined, outcome) {
		d.failOver(declined.ID, messages.FailoverDeclined)
		return
	}
	d.declinedAsRecorded(declined)
}

// declinedAsRecorded lets a decline end its authorization that was recorded before.
func (d *draft) declinedAsRecorded(declined *Operation) {
	d.about(declined, &messages.PaymentDeclined{
		Attempt: declined.attempt(messages.Outcome{}), Decline: *declined.Decline, RetryAt: d.retryAt(declined, *declined.Decline),
	})
}

// voidRefused takes a refused void for what it is: proof where the gateway says that the
// authorization is gone, otherwise a question about the authorization.
func (d *draft) voidRefused(op *Operation, outcome messages.Outcome) {
	if code := outcome.Decline.Code; code == codeAuthorizationVoided || code == codeAuthorizationExpired {
		d.resolved(op, messages.Outcome{Kind: messages.OutcomeSucceeded})
		outcome.Decline = nil
		d.voided(op, outcome)
		return
	}
	if op.Status == OperationManualReview || op.Status == OperationUnknown && op.Decline != nil {
		return // It is being asked about already.
	}
	d.about(op, &messages.PaymentOutcomeUnknown{
		Attempt: op.attempt(outcome), Kind: op.Kind, AmountMinor: op.AmountMinor,
		Detail:      "refused as " + outcome.Decline.Code + "; asking about the authorization",
		NextCheckAt: d.env.Now, Refused: outcome.Decline,
	})
	d.ask(op)
}

// ask looks up the authorization of a void that was refused.
func (d *draft) ask(void *Operation) {
	target := d.Payment.Operation(void.Target)
	if target != nil && !isAuthorization(target) {
		target = d.Payment.Operation(target.Target)
	}
	if target == nil {
		d.openReview(void, messages.Outcome{}, messages.ReviewVoidRefused, "refused, and its authorization is not known")
		return
	}
	d.lookup(target, void)
}

// settleQuestion decides what the lookup of an authorization says about the void that the gateway
// refused: it books what the lookup proves, and asks a person about the rest.
func (d *draft) settleQuestion(void, target *Operation, call Call, outcome messages.Outcome) {
	state := outcome.Authorization
	switch outcome.Kind {
	case messages.OutcomeDeclined:
		if d.Payment.uncapturedAt(target) > 0 || d.Payment.capturedAt(target) > 0 {
			d.refusedForReview(void, outcome, "the gateway now says that the authorization was declined")
			return
		}
		paged := target.Actionable || target.Kind == messages.OperationConfirm
		if code := outcome.Decline.Code; paged && code != codeAuthorizationVoided && code != codeAuthorizationExpired {
			// Another try of the customer may go through: only a void closes the page.
			d.refusedForReview(void, outcome, "the authorization is declined, and its page may still be open")
			return
		}
		d.voidProven(void, outcome)
	case messages.OutcomeSucceeded:
		if !target.settled() || target.Status == OperationFailed {
			// The customer completed it, or the record is wrong: that is news about the
			// authorization, and the void did nothing.
			d.voidDisproven(void, outcome)
			d.settle(target, call, outcome)
			return
		}
		d.settleState(void, target, outcome, state)
	case messages.OutcomeRequiresAction, messages.OutcomePending:
		if void.Purpose == "" && !target.settled() {
			d.voidDisproven(void, outcome)
			return
		}
		d.refusedForReview(void, outcome, "the authorization is "+string(outcome.Kind)+" and cannot be voided")
	case messages.OutcomeUnknown, messages.OutcomeNotFound, messages.OutcomeNotSent:
		if outcome.Tries == 0 {
			d.askAgain(void, outcome)
			return
		}
		d.settleUnknown(void, outcome)
	}
}

// settleState compares what the gateway says of a booked authorization with the record.
func (d *draft) settleState(void, target *Operation, outcome messages.Outcome, state *messages.AuthorizationState) {
	p := d.Payment
	captured, rest := p.capturedAt(target), p.uncapturedAt(target)
	switch {
	case state == nil:
		d.refusedForReview(void, outcome, "the gateway does not say what became of the authorization")
	case isCompensation(void):
		if state.CapturedMinor == 0 && state.ReleasedMinor >= void.AmountMinor {
			d.voidProven(void, outcome)
			return
		}
		d.refusedForReview(void, outcome, "the excess is not released")
	case state.CapturedMinor == captured && state.ReleasedMinor >= target.AuthorizedMinor-captured:
		d.voidProven(void, outcome)
	case state.CapturedMinor == captured && void.Purpose == "":
		d.voidDisproven(void, outcome)
	case state.CapturedMinor > captured && state.CapturedMinor <= captured+rest && captured == 0 && !d.failedCapture(target):
		// Captured by other means than Tender: the money is where the gateway says it is.
		d.voidDisproven(void, outcome)
		released := min(state.ReleasedMinor, rest-state.CapturedMinor)
		d.about(target, &messages.PaymentCaptured{
			Attempt: target.attempt(messages.Outcome{}), AmountMinor: state.CapturedMinor,
			AmountCapturedMinor: p.CapturedMinor + state.CapturedMinor, AmountCapturableMinor: rest - state.CapturedMinor - released,
			Final: released > 0, GatewayReference: target.GatewayReference, AmountReleasedMinor: released,
		})
	default:
		d.refusedForReview(void, outcome, "the gateway has captured and released other amounts than are recorded")
	}
}

// failedCapture reports whether a capture of the authorization is recorded as failed: what the
// gateway captured may be that one.
func (d *draft) failedCapture(target *Operation) bool {
	for i := range d.Payment.Operations {
		if op := &d.Payment.Operations[i]; isCapture(op) && op.Target == target.ID && op.Status == OperationFailed {
			return true
		}
	}
	return false
}

func (d *draft) voidProven(void *Operation, outcome messages.Outcome) {
	d.resolved(void, messages.Outcome{Kind: messages.OutcomeSucceeded})
	d.voided(void, messages.Outcome{Kind: messages.OutcomeSucceeded, Tries: outcome.Tries, Latency: outcome.Latency})
}

func (d *draft) voidDisproven(void *Operation, outcome messages.Outcome) {
	failure := messages.Failure{Code: "void_refused"}
	if void.Decline != nil {
		failure.Code, failure.Class = void.Decline.Code, void.Decline.Class
	}
	d.resolved(void, messages.Outcome{Kind: messages.OutcomeDeclined})
	d.fail(void, messages.Outcome{Tries: outcome.Tries, Latency: outcome.Latency}, failure)
}

func (d *draft) refusedForReview(void *Operation, outcome messages.Outcome, detail string) {
	d.openReview(void, messages.Outcome{Tries: outcome.Tries, Latency: outcome.Latency}, messages.ReviewVoidRefused, detail)
}
