package payment

import (
	"fmt"
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
	if op := d.Payment.latest(operationID); op != nil && op.Status == OperationSent && !op.Pending {
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
// gateway is sure to know it, and from then on by asking only.
func (d *draft) attemptAgain(op *Operation) {
	ask := !d.replayable(op)
	d.attempt(op)
	d.Call.Lookup = ask
}

func (d *draft) replayable(op *Operation) bool {
	within := d.env.Policy.ReplayWithin
	return within == 0 || d.env.Now.Sub(op.FirstSentAt) < within
}

// attempt records that the operation may be sent once more, under the same key, and asks for the
// call.
func (d *draft) attempt(op *Operation) {
	d.record(&messages.OperationSent{
		Attempt: messages.Attempt{OperationID: op.ID, Gateway: op.Gateway, Attempt: op.Attempt + 1, Tries: op.Tries},
		Kind:    op.Kind, AmountMinor: op.AmountMinor, Final: op.Final, Reason: op.Reason,
	})
	d.call(op.ID)
}

// resume does the first thing that is due. Its caller comes back after each call until nothing is.
func (d *draft) resume() {
	p, now := d.Payment, d.env.Now
	for i := range p.Operations {
		op := &p.Operations[i]
		switch {
		case op.Status == OperationSent && !op.Pending:
			if op.SentBy == d.cmd.ID || now.Sub(op.SentAt) >= d.env.Policy.SentStale {
				d.attemptAgain(op)
				return
			}
		case !op.NextCheckAt.IsZero() && !op.NextCheckAt.After(now):
			d.check(op)
			return
		}
	}
	switch at := p.expiresAt(); {
	case !at.IsZero() && !at.After(now) && at.Equal(p.WarnAt):
		d.record(&messages.PaymentExpiring{AmountCapturableMinor: p.UncapturedMinor(), CaptureBefore: p.CaptureBefore})
	case !at.IsZero() && !at.After(now):
		d.expire()
	case p.Status == messages.StatusRequiresPaymentMethod && !p.RetryAt.IsZero() && !p.RetryAt.After(now):
		d.retry()
	}
}

// check makes the call that an operation's timer is for.
func (d *draft) check(op *Operation) {
	switch {
	case op.Status == OperationNotSent:
		d.attempt(op)
	case op.Status == OperationUnknown && op.Checks < len(d.env.Policy.UnknownReplays) && d.replayable(op):
		// Unknown stays unknown until there is an answer, so that there is nothing to record before
		// asking again.
		d.call(op.ID)
	case op.Status == OperationUnknown || op.Pending:
		d.call(op.ID)
		d.Call.Lookup = true
	default:
		panic(fmt.Sprintf("payment: operation %s has a timer and the status %s", op.ID, op.Status))
	}
}

// expire ends an authorization that was not captured, or an action not confirmed, in time, by a
// void at the gateway: the clock alone proves nothing, and there the customer could still complete
// the payment, or a late capture go through.
func (d *draft) expire() {
	expires := messages.ExpiredAction
	if d.Payment.UncapturedMinor() > 0 {
		expires = messages.ExpiredAuthorization
	}
	d.send(messages.OperationSent{
		Kind: messages.OperationVoid, AmountMinor: d.Payment.UncapturedMinor(), Expires: expires,
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
		if p.Operations[i].DeclineCode != "" {
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
	if op.Kind != messages.OperationAuthorize || d.nextGateway(op) == "" {
		return false
	}
	switch outcome.Kind {
	case messages.OutcomeNotSent:
		return true
	case messages.OutcomeDeclined:
		return outcome.Decline.Class == messages.DeclineSoft && d.env.route().FailoverOnDecline
	default:
		return false
	}
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
		if other := &p.Operations[i]; other.DeclineCode != "" && other.PaymentMethod == op.PaymentMethod {
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

// failOver starts the authorization anew at the next gateway, as an operation of its own with a key
// of its own.
func (d *draft) failOver(operationID, reason string) {
	op := d.Payment.Operation(operationID)
	d.route(messages.PaymentRouted{
		Attempt: messages.Attempt{Gateway: d.nextGateway(op)}, PaymentMethod: op.PaymentMethod,
		PreviousOperationID: op.ID, Reason: reason,
	})
}
