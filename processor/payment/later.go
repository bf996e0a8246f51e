package payment

import (
	"slices"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// Continue takes up a command whose answer is recorded but whose call to the gateway may have been
// cut short: the worker that made it died, or lost its connection. If the operation has not
// settled, the same call is made again under the same key, as a further attempt; otherwise nothing
// is left to do.
func Continue(p *Payment, cmd messages.Command, operationID string, env Env) Decision {
	d := newDraft(p, cmd, env)
	if op := d.Payment.latest(operationID); op != nil && op.Status == OperationSent {
		d.attemptAgain(op)
	}
	return d.Decision
}

// TakeUp is what is left to do for a command whose answer from a gateway turns out to be recorded
// already: if another operation took the place of the one that was asked about and has not settled,
// its call is made, as Continue would. The worker that recorded the answer, perhaps this command
// itself in a commit that it did not hear back from, may not have come to that.
func TakeUp(p *Payment, cmd messages.Command, operationID string, env Env) Decision {
	if op := p.latest(operationID); op == nil || op.ID == operationID {
		return Decision{Payment: p}
	}
	return Continue(p, cmd, operationID, env)
}

// latest returns the operation that took the place of the one with the given id, or that one
// itself.
func (p *Payment) latest(id string) *Operation {
	op := p.Operation(id)
	for i := range p.Operations {
		if op != nil && p.Operations[i].Previous == op.ID {
			op = &p.Operations[i]
		}
	}
	return op
}

// attemptAgain takes up an operation that may have reached the gateway: under its own key while the
// gateway is sure to know it and the call may still move money, and otherwise by asking only.
func (d *draft) attemptAgain(op *Operation) {
	replay := d.replayable(op)
	d.record(sentAgain(op))
	if replay {
		d.call(op.ID)
		return
	}
	d.lookup(op, op)
}

// replayable reports whether an operation that may have reached the gateway may be sent again under
// its own key. A gateway forgets keys, and an authorization is not made long after its customer has
// gone.
func (d *draft) replayable(op *Operation) bool {
	policy, age := d.env.Policy, d.env.Now.Sub(op.FirstSentAt)
	switch {
	case policy.ReplayWithin != 0 && age >= policy.ReplayWithin:
		return false
	case isAuthorization(op) && d.tooLate(op):
		return false
	default:
		return d.Payment.held(op) == ""
	}
}

// sentAgain is a further attempt at an operation, under the same key.
func sentAgain(op *Operation) *messages.OperationSent {
	return &messages.OperationSent{
		Attempt: messages.Attempt{OperationID: op.ID, Gateway: op.Gateway, Attempt: op.Attempt + 1, Tries: op.Tries},
		Kind:    op.Kind, TargetOperationID: op.Target, AmountMinor: op.AmountMinor, Final: op.Final, Reason: op.Reason,
		Purpose: op.Purpose,
	}
}

// resume does the first thing that is due. Its caller comes back after each call until nothing is.
func (d *draft) resume(c *messages.Resume) {
	p, now := d.Payment, d.env.Now
	for i := range p.Operations {
		op := &p.Operations[i]
		if _, asked := d.env.Asked[op.ID]; asked {
			continue
		}
		due := !op.NextCheckAt.IsZero() && !op.NextCheckAt.After(now)
		switch op.Status {
		case OperationSent:
			if op.SentBy == d.cmd.ID || now.Sub(op.SentAt) >= d.env.Policy.SentStale {
				d.attemptAgain(op)
				return
			}
		case OperationNotSent:
			if (due || c.Now) && d.sendParked(op) {
				return
			}
		case OperationPending:
			d.lookup(op, op)
			return
		case OperationUnknown:
			if due || c.Now {
				d.check(op)
				return
			}
		case OperationRequiresAction, OperationManualReview, OperationSucceeded, OperationFailed:
		}
	}
	if !p.reviewing() {
		d.resumePayment()
	}
}

// sendParked sends an operation that was proven not to have been sent; false if it has to wait for
// a person. What another gateway has done meanwhile needs it no more.
func (d *draft) sendParked(op *Operation) bool {
	p := d.Payment
	reason := p.held(op)
	switch {
	case reason == "" && isAuthorization(op) && d.tooLate(op):
		d.fail(op, messages.Outcome{}, messages.Failure{Code: messages.FailureGatewayUnavailable, Message: "it could not be sent in time"})
		return true
	case reason == "":
		d.record(sentAgain(op))
		d.call(op.ID)
		return true
	case p.reviewing():
		return false
	default:
		d.about(op, &messages.OperationNotSent{Attempt: op.attempt(messages.Outcome{}), Detail: "not needed any more: " + reason})
		return true
	}
}

// resumePayment does what is due on the payment as a whole: an expiry, its warning, a page to
// close, a retry.
func (d *draft) resumePayment() {
	p, now := d.Payment, d.env.Now
	at := p.expiresAt()
	switch {
	case d.resumeClosing():
	case !at.IsZero() && !at.After(now) && at.Equal(p.WarnAt):
		d.record(&messages.PaymentExpiring{AmountCapturableMinor: p.UncapturedMinor(), CaptureBefore: p.CaptureBefore})
	case !at.IsZero() && !at.After(now):
		d.expire()
	case !p.retriesAt().IsZero() && !p.retriesAt().After(now):
		d.retry()
	}
}

// retriesAt is when a declined authorization is tried again; zero if it is not.
func (p *Payment) retriesAt() time.Time {
	if p.Status != messages.StatusRequiresPaymentMethod || p.RetryAt.IsZero() ||
		p.held(&Operation{Kind: messages.OperationAuthorize}) != "" {
		return time.Time{}
	}
	return p.RetryAt
}

// resumeClosing closes a declined authorization that a review kept from being closed.
func (d *draft) resumeClosing() bool {
	declined := d.Payment.toClose()
	if declined == nil {
		return false
	}
	if declined.reportedMinor() > 0 || d.Payment.pageOf(declined).reportedMinor() > 0 {
		// It went through after all, and was given back: the customer cannot complete it once more.
		d.declinedAsRecorded(declined)
		return true
	}
	d.closeAction(declined)
	return true
}

// toClose returns a declined operation whose page is still to be closed, nil if there is none.
func (p *Payment) toClose() *Operation {
	if p.Closed != "" || p.Decline != nil || p.openAmong(isAuthorization, isVoid) != nil || p.AuthorizedMinor > 0 {
		return nil
	}
	last := p.latestAuthorization(func(*Operation) bool { return true })
	if last == nil || last.Status != OperationFailed || last.Decline == nil {
		return nil
	}
	if last.Kind == messages.OperationConfirm || last.Actionable {
		return last
	}
	return nil
}

// check makes the question that the timer of an unknown operation is for.
func (d *draft) check(op *Operation) {
	switch {
	case isVoid(op) && op.Decline != nil:
		d.ask(op)
	case !op.Claimed && op.Checks < len(d.env.Policy.UnknownReplays) && d.replayable(op):
		// Unknown stays unknown until there is an answer, so that there is nothing to record before
		// asking again.
		d.call(op.ID)
	default:
		d.lookup(op, op)
	}
}

// expire ends an authorization that was not captured, or an action not confirmed, in time, by a
// void at the gateway: the clock alone proves nothing, and there the customer could still complete
// the payment, or a late capture go through.
func (d *draft) expire() {
	p := d.Payment
	purpose := messages.PurposeExpireAction
	target := p.latestAuthorization(func(op *Operation) bool { return p.uncapturedAt(op) > 0 })
	if target != nil {
		purpose = messages.PurposeExpireAuthorization
	} else {
		target = p.latestAuthorization(func(op *Operation) bool { return op.Status == OperationRequiresAction })
	}
	if target == nil {
		panic("payment: expires without an authorization")
	}
	d.send(target, messages.OperationSent{
		Kind: messages.OperationVoid, AmountMinor: p.uncapturedAt(target), Purpose: purpose,
	})
}

// The card networks' caps on attempts with one card, in their strictest reading: Mastercard's in 24
// hours, Visa's in 30 days. Tender holds them for each payment; it can't know what else a card is
// used for.
const (
	attemptsPerDayMax   = 10
	attemptsPerMonthMax = 15
	day                 = 24 * time.Hour
)

// retryAt is when an authorization that was declined like this is tried again: as the gateway
// advises, as far as the producer asked and as the card networks allow. Zero is never.
func (d *draft) retryAt(op *Operation, decline messages.Decline) time.Time {
	p := d.Payment
	if p.Retry == nil || op.Kind != messages.OperationAuthorize || decline.Class != messages.DeclineSoft {
		return time.Time{}
	}
	declines := 1 // this one is not recorded yet
	for i := range p.Operations {
		if p.Operations[i].Decline != nil && isAuthorization(&p.Operations[i]) {
			declines++
		}
	}
	wait, advised := d.adviceOn(decline, declines)
	at := micros(d.env.Now.Add(wait))
	switch {
	case !advised || declines >= p.Retry.MaxAttempts || at.After(p.Retry.Until):
		return time.Time{}
	case p.sentSince(at.Add(-day)) >= attemptsPerDayMax || p.sentSince(at.Add(-30*day)) >= attemptsPerMonthMax:
		return time.Time{}
	default:
		return at
	}
}

// adviceOn is the wait that a decline advises; false if it advises against trying again.
func (d *draft) adviceOn(decline messages.Decline, declines int) (time.Duration, bool) {
	switch decline.RecommendedAction {
	case messages.ActionRetryAfter1Hour:
		return time.Hour, true
	case messages.ActionRetryAfter24Hours:
		return day, true
	case messages.ActionRetryAfter2Days:
		return 2 * day, true
	case messages.ActionRetryAfter4Days:
		return 4 * day, true
	case messages.ActionRetryAfter6Days:
		return 6 * day, true
	case messages.ActionRetryAfter8Days:
		return 8 * day, true
	case messages.ActionRetryAfter10Days:
		return 10 * day, true
	case messages.ActionRetryLater, "":
		waits := d.env.Policy.SoftRetries
		if len(waits) == 0 {
			return 0, false
		}
		return waits[min(declines, len(waits))-1], true
	case messages.ActionDoNotRetry, messages.ActionRetryAfterInstrumentUpdate, messages.ActionRetryWithDifferentMethod,
		messages.ActionStopRecurring:
		return 0, false
	default:
		return 0, false
	}
}

// sentSince counts the authorizations that were sent after the given time.
func (p *Payment) sentSince(t time.Time) int {
	n := 0
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Kind == messages.OperationAuthorize && op.SentAt.After(t) {
			n++
		}
	}
	return n
}

// retry makes the attempt that was announced, with the same payment method.
func (d *draft) retry() {
	if d.env.route().Gateway == "" {
		// The routing rules no longer have a gateway for it: what the decline asked for stands.
		d.record(&messages.PaymentFailed{Failure: messages.Failure{
			Code: messages.FailureNoGateway, Message: "no routing rule names a gateway for this payment any more",
		}})
		return
	}
	d.route(messages.PaymentRouted{
		Attempt: messages.Attempt{Gateway: d.env.route().Gateway}, PaymentMethod: d.Payment.PaymentMethod,
		Reason: messages.RetryDeclined,
	})
}

// warnAt is when to warn of an authorization that lapses at the given time, zero if there is no
// time left for that.
func (d *draft) warnAt(before time.Time) time.Time {
	at := before.Add(-d.env.Policy.ExpiryWarning)
	if d.env.Policy.ExpiryWarning == 0 || !at.After(d.env.Now) {
		return time.Time{}
	}
	return micros(at)
}

// mayFailOver reports whether an authorization that ended like this may be tried at another
// gateway, and there is one. It may only after proof that this one moved nothing and never will: it
// was not sent, or it was declined for a reason that another gateway may see differently. No
// configuration changes that.
//
// An answer that proves nothing never comes here: the caller has found the operation unknown.
func (d *draft) mayFailOver(op *Operation, outcome messages.Outcome) bool {
	if op.Kind != messages.OperationAuthorize || d.nextGateway(op) == "" || d.tooLate(op) ||
		d.Payment.heldByAnother(op, nil) != "" || d.Payment.reviewing() {
		return false
	}
	switch outcome.Kind {
	case messages.OutcomeNotSent:
		switch outcome.Rest {
		case messages.RestOperation:
			return false
		case messages.RestLocal:
			return !op.NotSentSince.IsZero() && d.env.Now.Sub(op.NotSentSince) >= d.env.Policy.LocalWait
		default:
			return true
		}
	case messages.OutcomeDeclined:
		return outcome.Decline.Class == messages.DeclineSoft && d.env.route().FailoverOnDecline
	default:
		return false
	}
}

// tooLate reports whether an authorization was asked for so long ago that it is not sent any more:
// its customer has gone. What it took the place of counts.
func (d *draft) tooLate(op *Operation) bool {
	first := op
	for first.Previous != "" {
		first = d.Payment.Operation(first.Previous)
	}
	giveUp := d.env.Policy.NotSentGiveUp
	return giveUp != 0 && d.env.Now.Sub(first.FirstSentAt) >= giveUp
}

// nextGateway is the first gateway of the route that has not been tried in this round and has not
// declined this payment method; "" if there is none.
func (d *draft) nextGateway(op *Operation) string {
	tried := d.Payment.triedWith(op)
	route := d.env.route()
	for _, name := range append([]string{route.Gateway}, route.Fallbacks...) {
		if name != "" && !slices.Contains(tried, name) {
			return name
		}
	}
	return ""
}

// triedWith lists the gateways that are out of the question beside op's own: those of the
// authorizations that op took the place of since a timer last began anew, and those that declined
// the payment method.
func (p *Payment) triedWith(op *Operation) []string {
	tried := []string{op.Gateway}
	for at := op; at != nil && at.Attempt == 1 && at.Previous != ""; {
		if at = p.Operation(at.Previous); at != nil {
			tried = append(tried, at.Gateway)
		}
	}
	for i := range p.Operations {
		if other := &p.Operations[i]; other.Decline != nil && other.PaymentMethod == op.PaymentMethod {
			tried = append(tried, other.Gateway)
		}
	}
	return tried
}

// firstRound reports whether no timer has begun the operation anew yet.
func (p *Payment) firstRound(op *Operation) bool {
	for at := op; at != nil; at = p.Operation(at.Previous) {
		if at.Attempt > 1 {
			return false
		}
	}
	return true
}

// foreignToken reports whether a decline says that the gateway does not know the payment method.
// From a fallback that is no word about the payment: the token belongs to another gateway.
func foreignToken(code string) bool {
	switch code {
	case "invalid_request", "resource_missing", "payment_method_invalid", "invalid_payment_method", "payment_method_not_found",
		"token_not_found", "invalid_token", "no_such_token":
		return true
	default:
		return false
	}
}

// fallBack goes on after a fallback that does not know the payment method, as if that gateway were
// not there: with the next one, with the decline of the one before, or by waiting for the first.
func (d *draft) fallBack(refused *Operation) {
	late := d.tooLate(refused)
	if !late && d.nextGateway(refused) != "" && d.Payment.held(&Operation{Kind: messages.OperationAuthorize}) == "" {
		d.failOver(refused.ID, messages.FailoverRefused)
		return
	}
	first := d.Payment.Operation(refused.Previous)
	for first.Previous != "" && (first.Decline == nil || foreignToken(first.Decline.Code)) {
		first = d.Payment.Operation(first.Previous)
	}
	if first.Decline != nil && !foreignToken(first.Decline.Code) {
		d.about(first, &messages.PaymentDeclined{
			Attempt: first.attempt(messages.Outcome{}), Decline: *first.Decline, RetryAt: d.retryAt(first, *first.Decline),
		})
		return
	}
	if late {
		d.record(&messages.PaymentFailed{Failure: messages.Failure{
			Code: messages.FailureGatewayUnavailable, Message: "no gateway that knows the payment method was reached in time",
		}})
		return
	}
	// The first gateway was not reached: the payment waits for it, and its time to give up goes on.
	d.routeTo(first.Gateway, messages.PaymentRouted{
		PaymentMethod: refused.PaymentMethod, PreviousOperationID: refused.ID, Reason: messages.FailoverRefused,
	})
	waiting := &d.Payment.Operations[len(d.Payment.Operations)-1]
	outcome := messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "no other gateway knows the payment method"}
	wait := d.env.Policy.notSentDelay(waiting, d.env.Now, outcome)
	d.about(waiting, &messages.PaymentParked{
		Attempt: waiting.attempt(outcome), Kind: waiting.Kind, Detail: outcome.Detail, RetryAt: micros(d.env.Now.Add(wait)),
	})
	d.Call = nil
}

// failOver starts the authorization anew at the next gateway, as an operation of its own with a key
// of its own.
func (d *draft) failOver(operationID, reason string) {
	op := d.Payment.Operation(operationID)
	d.route(messages.PaymentRouted{
		Attempt: messages.Attempt{Gateway: d.nextGateway(op)}, PaymentMethod: op.PaymentMethod,
		PreviousOperationID: op.ID, Reason: reason,
	})
}
