package payment

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// The card networks' caps on attempts with one card, in their strictest reading: Mastercard's in 24 hours, Visa's in 30
// days. Tender holds them for each payment; it can't know what else a card is used for.
const (
	attemptsPerDayMax   = 10
	attemptsPerMonthMax = 15
	day                 = 24 * time.Hour
)

// retryAt is when an authorization that was declined like this is tried again: as the gateway advises, as far as the
// producer asked and as the card networks allow. Zero is never.
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

// warnAt is when to warn of an authorization that lapses at the given time, zero if there is no time left for that.
func (d *draft) warnAt(before time.Time) time.Time {
	at := before.Add(-d.env.Policy.ExpiryWarning)
	if d.env.Policy.ExpiryWarning == 0 || !at.After(d.env.Now) {
		return time.Time{}
	}
	return micros(at)
}
