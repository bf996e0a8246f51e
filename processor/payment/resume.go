package payment

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
)

// Continue takes up a command whose answer is recorded but whose call to the gateway may have been cut short: the
// worker that made it died, or lost its connection. If the operation has not settled, the same call is made again
// under the same key, as a further attempt; otherwise nothing is left to do.
func Continue(p *Payment, cmd messages.Command, operationID string, env Env) Decision {
	d := newDraft(p, cmd, env)
	if op := d.Payment.latest(operationID); op != nil && op.Status == OperationSent && !op.Pending {
		d.attemptAgain(op)
	}
	return d.Decision
}

// TakeUp is what is left to do for a command whose answer from a gateway turns out to be recorded already: if another operation took the
// place of the one that was asked about and has not settled, its call is made, as Continue would. Whoever recorded the answer, perhaps
// this command itself in a commit that it did not hear back from, may not have come to that.
func TakeUp(p *Payment, cmd messages.Command, operationID string, env Env) Decision {
	if op := p.latest(operationID); op == nil || op.ID == operationID {
		return Decision{Payment: p}
	}
	return Continue(p, cmd, operationID, env)
}

// latest returns the operation that took the place of the one with the given id, or that one itself.
func (p *Payment) latest(id string) *Operation {
	op := p.Operation(id)
	for i := range p.Operations {
		if op != nil && p.Operations[i].Previous == op.ID {
			op = &p.Operations[i]
		}
	}
	return op
}

// attemptAgain takes up an operation that may have reached the gateway: under its own key while the gateway is sure to
// know it, and from then on by asking only.
func (d *draft) attemptAgain(op *Operation) {
	ask := !d.replayable(op)
	d.attempt(op)
	d.Call.Lookup = ask
}

func (d *draft) replayable(op *Operation) bool {
	within := d.env.Policy.ReplayWithin
	return within == 0 || d.env.Now.Sub(op.FirstSentAt) < within
}

// attempt records that the operation may be sent once more, under the same key, and asks for the call.
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
		// Unknown stays unknown until there is an answer, so that there is nothing to record before asking again.
		d.call(op.ID)
	case op.Status == OperationUnknown || op.Pending:
		d.call(op.ID)
		d.Call.Lookup = true
	default:
		panic(fmt.Sprintf("payment: operation %s has a timer and the status %s", op.ID, op.Status))
	}
}

// expire ends what nobody captured or confirmed in time, by a void at the gateway: the clock alone proves nothing, and
// there the customer could still complete the payment, or a late capture go through.
func (d *draft) expire() {
	expires := messages.ExpiredAction
	if d.Payment.UncapturedMinor() > 0 {
		expires = messages.ExpiredAuthorization
	}
	d.send(messages.OperationSent{
		Kind: messages.OperationVoid, AmountMinor: d.Payment.UncapturedMinor(), Expires: expires,
	})
}
