package payment

import (
	"slices"

	"github.com/seed-384b1f8a/tender/messages"
)

// mayFailOver reports whether an authorization that ended like this may be tried at another gateway, and there is one.
// It may only after proof that this one moved nothing and never will: it was not sent, or it was declined for a reason
// that another gateway may see differently. No configuration changes that.
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

// nextGateway is the first gateway of the route that has not been tried in this round and has not declined this
// payment method; "" if there is none.
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

// triedWith lists the gateways that are out of the question beside op's own: those of the authorizations that op took
// the place of since a timer last began anew, and those that declined the payment method.
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

// firstRound reports whether no timer has begun the authorization, or whatever operation it is, anew yet.
func (p *Payment) firstRound(op *Operation) bool {
	for at := op; at != nil; at = p.Operation(at.Previous) {
		if at.Attempt > 1 {
			return false
		}
	}
	return true
}

// failOver starts the authorization anew at the next gateway, as an operation of its own with a key of its own.
func (d *draft) failOver(operationID, reason string) {
	op := d.Payment.Operation(operationID)
	d.route(messages.PaymentRouted{
		Attempt: messages.Attempt{Gateway: d.nextGateway(op)}, PaymentMethod: op.PaymentMethod,
		PreviousOperationID: op.ID, Reason: reason,
	})
}
