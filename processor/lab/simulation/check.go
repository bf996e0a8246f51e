package simulation

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/delivery"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// reported is all that is recorded to have moved by an operation: booked, in excess, given back.
func reported(op *payment.Operation) int64 {
	return max(op.AuthorizedMinor, op.CapturedMinor, op.RefundedMinor) + op.ExcessMinor + op.CompensatedMinor
}

// committed looks at what was just written.
func (w *world) committed(p *payment.Payment, events []messages.Event) {
	sub := w.subject(p.ID)
	for i := range events {
		e := &events[i]
		w.mix(string(e.Type()), e.Version)
		w.count(string(e.Type()))
		if w.opts.Trace != nil {
			w.trace("  %d %s -> %s", e.Version, describe(e), e.Status)
		}
		switch d := e.Data.(type) {
		case *messages.PaymentReviewOpened:
			sub.reviewed = true
			w.count("review " + d.Reason)
			w.checkReview(sub, p.Operation(d.OperationID), d)
		case *messages.PaymentDeclined:
			if op := p.Operation(d.OperationID); op != nil && op.Previous != "" && d.Code == "invalid_request" {
				w.fail("a fallback that does not know a token ends nothing", "the payment is declined as %s by %s", d.Code, op.Gateway)
			}
		case *messages.PaymentExpired:
			w.checkExpiry(sub, p, d)
		}
	}
	w.sweepLater(p)
	if p.InReview() || p.ExcessMinor > 0 {
		w.callOperator(sub)
	}
}

func describe(e *messages.Event) string {
	s := string(e.Type())
	switch d := e.Data.(type) {
	case *messages.CommandRejected:
		s += " " + string(d.Command) + " " + string(d.Code) + ": " + d.Message
	case *messages.PaymentReviewOpened:
		s += " " + short(d.OperationID) + " " + d.Reason + ": " + d.Detail
	case *messages.OperationSent:
		s += " " + string(d.Kind) + " " + short(d.OperationID) + " " + string(d.Purpose)
	case *messages.PaymentRouted:
		s += " " + short(d.OperationID) + " to " + d.Gateway
	case *messages.PaymentOutcomeResolved:
		s += " " + short(d.OperationID) + " by " + d.ResolvedBy + " as " + string(d.Outcome)
	}
	return s
}

// checkReview allows the review of an unknown outcome only when its ladder has ended.
func (w *world) checkReview(sub *subject, op *payment.Operation, review *messages.PaymentReviewOpened) {
	if review.Reason != messages.ReviewUnknown || sub.lost || op == nil {
		return
	}
	if since := op.UnknownSince; since.IsZero() || w.now.Sub(since) < 24*time.Hour-time.Minute {
		w.fail("a review has a reason", "%s %s is unknown since %s only", op.Kind, short(op.ID), since)
	}
}

// shortestLife is the shortest life of an authorization that a gateway of the simulation grants.
const shortestLife = 11 * time.Hour

// checkExpiry wants an authorization to live as long as its gateway grants.
func (w *world) checkExpiry(sub *subject, p *payment.Payment, d *messages.PaymentExpired) {
	void := p.Operation(d.OperationID)
	if void == nil || sub.lost || d.Expired != messages.ExpiredAuthorization {
		return
	}
	target := p.Operation(void.Target)
	if target != nil && target.Kind == messages.OperationConfirm {
		target = p.Operation(target.Target)
	}
	if target != nil && w.now.Sub(target.FirstSentAt) < shortestLife {
		w.fail("an authorization lives", "%s is expired %s after it was sent", short(target.ID), w.now.Sub(target.FirstSentAt))
	}
}

// checkMade wants a call that was recorded to be made before anything else is decided. last is the
// last event of a commit, and next the effect that follows it.
func (w *world) checkMade(last messages.Event, next delivery.Effect) {
	var sent string
	switch d := last.Data.(type) {
	case *messages.OperationSent:
		sent = d.OperationID
	case *messages.PaymentRouted:
		sent = d.OperationID
	case *messages.RefundCreated:
		sent = d.OperationID
	default:
		return
	}
	if next.Kind != delivery.Call || next.Call.Operation.ID != sent {
		w.fail("a recorded call is made", "%s was recorded as sent, and then comes a %s", short(sent), effectName(next.Kind))
	}
}

// checkCall looks at a call before it is made. known is the payment that it was decided on.
func (w *world) checkCall(sub *subject, known *payment.Payment, op messages.Operation) {
	recorded := known.Operation(op.ID)
	compensates := recorded != nil && recorded.Purpose == messages.PurposeCompensate
	if known.InReview() && !compensates {
		w.fail("no call while a person has to look", "%s %s goes to %s", op.Kind, short(op.ID), op.Gateway)
	}
	if isAuthorization(op.Kind) && !sub.lost {
		w.checkAge(known, recorded)
	}
	if sub.excuse != "" || sub.unheard > 0 || !isAuthorization(op.Kind) {
		return
	}
	own := sub.ownAccount(w, op)
	for _, a := range sub.accounts {
		if a != own && a.holds() {
			w.fail("no call while another authorization may move the money", "%s %s goes to %s, and %s at %s has authorized %d, captured %d, page=%t, pending=%t",
				op.Kind, short(op.ID), op.Gateway, short(a.opID), a.gw.name, a.authorized, a.captured, a.page, a.pending)
		}
	}
}

// ageMax is the time for which an authorization may be sent after the command that asked for it: as
// long as it may be parked, and a margin for the last wait.
const ageMax = 90 * time.Minute

// checkAge looks at how long ago an authorization was asked for: its customer goes away.
func (w *world) checkAge(known *payment.Payment, op *payment.Operation) {
	first := op
	for first != nil && first.Previous != "" {
		first = known.Operation(first.Previous)
	}
	if first != nil && w.now.Sub(first.FirstSentAt) > ageMax {
		w.fail("no authorization long after its customer has gone", "%s %s goes to %s %s after it was asked for",
			op.Kind, short(op.ID), op.Gateway, w.now.Sub(first.FirstSentAt))
	}
}

// ownAccount is the authorization that an operation makes or completes, nil if it is not there yet.
func (s *subject) ownAccount(w *world, op messages.Operation) *account {
	g := w.gatewayNamed(op.Gateway)
	if op.Kind == messages.OperationConfirm {
		return g.accounts[op.GatewayReference]
	}
	if e := g.entries[key(op)]; e != nil {
		return e.acct
	}
	return nil
}

// check compares the truth with the books, as far as Tender can know it.
func (w *world) check(sub *subject) {
	if w.finding != nil || sub.excuse != "" || sub.unheard > 0 || sub.flights > 0 {
		return
	}
	p := w.store.get(sub.id)
	w.checkPatience(sub, p)
	if p.InReview() {
		return
	}
	holding := 0
	for _, a := range sub.accounts {
		if a.refunded+a.disputed > a.captured-a.reversed && !sub.reviewed && !w.undecided(p) {
			w.fail("nothing is given back twice", "%s at %s captured %d, and %d were refunded, %d lost in disputes, %d taken back",
				a.ref, a.gw.name, a.captured, a.refunded, a.disputed, a.reversed)
		}
		if a.rest() > 0 || a.kept() > 0 {
			holding++
		}
	}
	if holding > 1 && !sub.reviewed && p.ExcessMinor == 0 && !w.undecided(p) {
		w.fail("one authorization holds the money", "%d do, and there was no review", holding)
	}
	for i := range p.Operations {
		w.checkOperation(p, &p.Operations[i])
	}
}

// undecided reports whether the outcome of any operation has not been heard.
func (w *world) undecided(p *payment.Payment) bool {
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Open() || op.Status == payment.OperationRequiresAction {
			return true
		}
	}
	return false
}

func (w *world) checkOperation(p *payment.Payment, op *payment.Operation) {
	if op.Open() || op.Status == payment.OperationRequiresAction {
		return
	}
	e := w.gatewayNamed(op.Gateway).entries[tenant+"/"+op.ID]
	switch op.Kind {
	case messages.OperationVoid:
		if op.Status == payment.OperationSucceeded && e != nil && e.acct != nil && (e.acct.rest() > 0 || e.acct.page || e.acct.pending) {
			w.fail("what is released is released", "void %s is recorded as succeeded, and %s still has %d, page=%t, pending=%t",
				short(op.ID), e.acct.ref, e.acct.rest(), e.acct.page, e.acct.pending)
		}
	case messages.OperationAuthorize:
		w.checkAuthorization(p, op, e)
	case messages.OperationConfirm:
	default:
		var moved, reversed int64
		if e != nil {
			moved, reversed = e.moved, e.reversed
		}
		if moved-reversed == reported(op)-op.ReversedMinor {
			return // A person may have booked what was left of it.
		}
		if moved != reported(op) {
			w.fail("what moved is booked", "%s %s (%s) moved %d at %s, recorded are %d", op.Kind, short(op.ID), op.Status, moved, op.Gateway, reported(op))
		}
		if op.CompensatedMinor == 0 && op.ExcessMinor == 0 && reversed != op.ReversedMinor {
			w.fail("what moved is booked", "%d of %s %s were taken back, recorded are %d", reversed, op.Kind, short(op.ID), op.ReversedMinor)
		}
	}
}

// checkAuthorization compares an authorization with what is recorded of it and its confirmations.
func (w *world) checkAuthorization(p *payment.Payment, op *payment.Operation, e *entry) {
	booked, reversed, excess := reported(op), op.ReversedMinor, op.ExcessMinor+op.CompensatedMinor
	for i := range p.Operations {
		other := &p.Operations[i]
		if other.Kind != messages.OperationConfirm || other.Target != op.ID {
			continue
		}
		if other.Open() || other.Status == payment.OperationRequiresAction {
			return
		}
		booked += reported(other)
		reversed += other.ReversedMinor
		excess += other.ExcessMinor + other.CompensatedMinor
	}
	if e == nil || e.acct == nil {
		if booked != 0 {
			w.fail("what moved is booked", "authorize %s never arrived at %s, recorded are %d", short(op.ID), op.Gateway, booked)
		}
		return
	}
	a := e.acct
	if booked-reversed == a.authorized-e.reversed {
		return // A person may have booked what was left of it.
	}
	released := booked == 0 && a.captured == 0 && a.rest() == 0
	if booked != a.authorized && !released {
		w.fail("what moved is booked", "authorize %s (%s) at %s authorized %d, recorded are %d", short(op.ID), op.Status, op.Gateway, a.authorized, booked)
	}
	if e.reversed != reversed && excess == 0 && !released {
		w.fail("what moved is booked", "%d of authorize %s were taken back, recorded are %d", e.reversed, short(op.ID), reversed)
	}
	if op.Status == payment.OperationFailed && a.page && p.Closed != "" {
		w.fail("what is released is released", "the customer can still complete %s at %s", short(op.ID), op.Gateway)
	}
}

// checkPatience bounds the time for which an operation waits.
func (w *world) checkPatience(sub *subject, p *payment.Payment) {
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Status == payment.OperationNotSent && op.Purpose == "" && !p.InReview() && !sub.reviewed &&
			w.now.Sub(op.NotSentSince) > 3*time.Hour {
			w.fail("nothing waits longer than it must", "%s %s is not sent since %s", op.Kind, short(op.ID), w.now.Sub(op.NotSentSince))
		}
	}
}

// open describes what is not at rest.
func (w *world) open() (s string) {
	for _, sub := range w.subjects {
		s += w.short(sub.id) + " is " + string(w.store.get(sub.id).Status) + " "
	}
	return s
}

// checkRest looks at everything once nothing is left to happen.
func (w *world) checkRest() {
	for _, sub := range w.subjects {
		p := w.store.get(sub.id)
		if r := w.store.rows[sub.id]; r != nil {
			w.store.compare(r)
		}
		if sub.unheard != 0 && sub.excuse == "" || sub.flights != 0 {
			w.fail("everything ends", "%d notifications and %d calls are on their way", sub.unheard, sub.flights)
		}
		w.check(sub)
		if p.InReview() {
			w.count("rests in review")
			continue
		}
		w.count("rests " + string(p.Status))
		for i := range p.Operations {
			op := &p.Operations[i]
			if op.Open() || op.Status == payment.OperationRequiresAction {
				w.fail("everything ends", "%s %s rests %s", op.Kind, short(op.ID), op.Status)
			}
		}
		w.checkStatus(sub, p)
	}
	if len(w.bus.waiting) > 0 {
		w.fail("everything ends", "%d commands wait", len(w.bus.waiting))
	}
}

// checkStatus compares where a payment came to rest with the truth.
func (w *world) checkStatus(sub *subject, p *payment.Payment) {
	if sub.excuse != "" {
		return
	}
	var rest, kept int64
	for _, a := range sub.accounts {
		rest += a.rest()
		kept += a.kept()
		if a.page || a.pending {
			w.fail("everything ends", "%s at %s may still move the money, and the payment rests %s", short(a.opID), a.gw.name, p.Status)
		}
	}
	if rest > 0 {
		w.fail("everything ends", "%d is still authorized, and the payment rests %s", rest, p.Status)
	}
	if (p.Closed == messages.StatusVoided || p.Closed == messages.StatusExpired) && kept > 0 && p.ExcessMinor == 0 {
		w.fail("what moved is booked", "%d is captured, and the payment rests %s", kept, p.Status)
	}
}
