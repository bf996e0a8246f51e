package simulation

import (
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// account finds the authorization that an operation acts on.
func (e *entry) account() *account {
	e.acct = e.gw.accounts[e.op.GatewayReference]
	if e.acct == nil {
		e.declineAs("invalid_request", messages.DeclineFixData)
		if e.sub.excuse == "" {
			e.gw.w.fail("calls go to the gateway that has the money", "%s %s names %q, which %s does not know",
				e.op.Kind, short(e.op.ID), e.op.GatewayReference, e.gw.name)
		}
	}
	return e.acct
}

func (e *entry) confirm() {
	a, w, p := e.account(), e.gw.w, &e.gw.w.profile
	if a == nil {
		return
	}
	a.confirms = append(a.confirms, e)
	authorize := e.gw.entries[e.op.Tenant+"/"+a.opID]
	switch {
	case a.authorized > 0:
		e.kind = messages.OutcomeSucceeded
	case !a.page:
		e.declineAs("authorization_voided", messages.DeclineFixData)
	case w.odds(p.decline):
		e.declineAs("authentication_failed", p.class(w))
		a.page = w.odds(p.pageStays)
	case w.odds(p.action):
		e.kind = messages.OutcomeRequiresAction
	case w.odds(p.pending):
		e.kind = messages.OutcomePending
		e.finishLater(func() {
			if a.authorized == 0 {
				authorize.complete(e.amount())
			}
			e.kind = messages.OutcomeSucceeded
		})
	default:
		authorize.complete(e.amount())
		e.kind = messages.OutcomeSucceeded
	}
	e.tell(0)
}

func (e *entry) capture() {
	a, w, p := e.account(), e.gw.w, &e.gw.w.profile
	if a == nil {
		return
	}
	switch {
	case a.rest() < e.op.AmountMinor:
		e.declineAs("authorization_expired", messages.DeclineFixData)
	case w.odds(p.declineLater):
		e.declineAs("processing_error", p.class(w))
		e.mayFlip()
	case w.odds(p.pending):
		e.kind = messages.OutcomePending
		e.finishLater(e.captureNow)
	default:
		e.captureNow()
	}
	e.tell(0)
}

func (e *entry) captureNow() {
	a := e.acct
	if a.rest() == 0 {
		e.declineAs("authorization_expired", messages.DeclineFixData)
		return
	}
	e.effect()
	e.kind, e.moved = messages.OutcomeSucceeded, e.amount()
	a.captured += e.moved
	if e.op.Final {
		a.released += a.rest()
	}
	e.gw.w.later(a)
	e.mayReverse()
}

func (e *entry) void() {
	a, w, p := e.account(), e.gw.w, &e.gw.w.profile
	if a == nil {
		return
	}
	switch {
	case w.odds(p.voidRefused):
		e.declineAs("processing_error", messages.DeclineSoft)
	case a.captured > 0 && a.rest() == 0:
		e.declineAs("already_captured", messages.DeclineFixData)
	case a.authorized > 0 && a.rest() == 0 && w.odds(500):
		e.declineAs("authorization_expired", messages.DeclineFixData)
	case w.odds(p.pending):
		e.kind = messages.OutcomePending
		e.finishLater(e.voidNow)
	default:
		e.voidNow()
	}
	e.tell(0)
}

func (e *entry) voidNow() {
	a := e.acct
	if a.captured > 0 && a.rest() == 0 {
		e.declineAs("already_captured", messages.DeclineFixData)
		return
	}
	e.kind = messages.OutcomeSucceeded
	a.released += a.rest()
	a.page = false
	if a.pending {
		a.pending = false
	}
	if authorize := e.gw.entries[e.op.Tenant+"/"+a.opID]; authorize.kind == messages.OutcomePending || authorize.kind == messages.OutcomeRequiresAction {
		authorize.declineAs("authorization_voided", messages.DeclineFixData)
	}
	for _, c := range a.confirms {
		if c.kind == messages.OutcomePending || c.kind == messages.OutcomeRequiresAction {
			c.declineAs("authorization_voided", messages.DeclineFixData)
		}
	}
}

func (e *entry) refund() {
	a, w, p := e.account(), e.gw.w, &e.gw.w.profile
	if a == nil {
		return
	}
	switch {
	case a.captured-a.refunded < e.op.AmountMinor:
		e.declineAs("refund_exceeds", messages.DeclineFixData)
	case w.odds(p.declineLater):
		e.declineAs("processing_error", p.class(w))
		e.mayFlip()
	case w.odds(p.pending):
		e.kind = messages.OutcomePending
		e.finishLater(e.refundNow)
	default:
		e.refundNow()
	}
	e.tell(0)
}

func (e *entry) refundNow() {
	a := e.acct
	if a.captured-a.refunded < e.op.AmountMinor {
		e.declineAs("refund_exceeds", messages.DeclineFixData)
		return
	}
	e.effect()
	e.kind, e.moved = messages.OutcomeSucceeded, e.amount()
	a.refunded += e.moved
	e.mayReverse()
}

// finishLater ends a pending operation after minutes or days: as planned, or by a decline.
func (e *entry) finishLater(succeed func()) {
	w := e.gw.w
	w.count("pending operations")
	if w.odds(w.profile.endless) {
		return
	}
	w.after(w.between(10*time.Second, 9*24*time.Hour), func() {
		if e.kind != messages.OutcomePending {
			return // Voided meanwhile.
		}
		if w.odds(700) {
			succeed()
		} else {
			e.declineAs("declined_after_all", w.profile.class(w))
			if e.acct != nil && e.op.Kind == messages.OperationAuthorize {
				e.acct.pending = false
			}
		}
		w.trace("%s %s ends as %s", e.op.Kind, short(e.op.ID), e.kind)
		e.tell(0)
	})
}

// customer completes the action, or fails to, or never comes.
func (e *entry) customer() {
	w, a := e.gw.w, e.acct
	if w.odds(w.profile.customerAway) {
		return
	}
	tries := 0
	var act func()
	act = func() {
		switch op := w.store.get(e.sub.id).Operation(e.op.ID); {
		case !a.page:
			return
		case op == nil || !op.Actionable:
			// The customer has not been sent there yet.
			if tries++; tries < 5 {
				w.after(w.between(time.Minute, 10*time.Hour), act)
			}
		case w.odds(w.profile.decline):
			// The page may stay open for another try.
			e.declineAs("authentication_failed", w.profile.class(w))
			if a.page = w.odds(w.profile.pageStays); a.page {
				w.after(w.between(time.Second, 30*time.Hour), act)
			}
			e.tell(0)
		default:
			certain := 0
			if e.kind == messages.OutcomeDeclined || len(a.confirms) > 0 {
				certain = 1000
			}
			w.trace("the customer completes %s", short(e.op.ID))
			e.complete(e.amount())
			e.tell(certain)
		}
	}
	w.after(w.between(5*time.Second, 40*time.Hour), act)
}

// mayFlip lets a declined operation go through after all, which its gateway then tells.
func (e *entry) mayFlip() {
	w := e.gw.w
	if !w.odds(w.profile.flip) {
		return
	}
	w.after(w.between(time.Second, 48*time.Hour), func() {
		a := e.acct
		switch {
		case e.kind != messages.OutcomeDeclined:
			return
		case e.op.Kind == messages.OperationAuthorize:
			e.complete(e.op.AmountMinor)
		case e.op.Kind == messages.OperationCapture && a.rest() >= e.op.AmountMinor:
			e.captureNow()
		case e.op.Kind == messages.OperationRefund && a.captured-a.refunded >= e.op.AmountMinor:
			e.refundNow()
		default:
			return
		}
		w.count("declines that went through")
		w.trace("%s %s was declined and went through", e.op.Kind, short(e.op.ID))
		e.tell(1000)
	})
}

// mayReverse lets a bank take a capture or a refund back.
func (e *entry) mayReverse() {
	w := e.gw.w
	if !w.odds(w.profile.reversal) {
		return
	}
	w.after(w.between(time.Minute, 240*time.Hour), func() { e.reverse() })
}

func (e *entry) reverse() {
	w, a := e.gw.w, e.acct
	amount := e.moved
	if e.op.Kind != messages.OperationRefund {
		amount = min(amount, a.kept()-a.disputed)
	}
	if amount <= 0 || e.reversed > 0 {
		return
	}
	e.reversed = amount
	if e.op.Kind == messages.OperationRefund {
		a.refunded -= amount
	} else {
		a.reversed += amount
	}
	w.count("reversals")
	w.trace("%d of %s %s is taken back", amount, e.op.Kind, short(e.op.ID))
	e.notify(messages.Notify{Kind: messages.NotifyReversal, AmountMinor: amount, DeclineCode: "returned"}, true)
}

// later is what banks and customers do about captured money.
func (w *world) later(a *account) {
	e := a.gw.entries[tenant+"/"+a.opID]
	if a.capture {
		e.mayReverse()
	}
	if !w.odds(w.profile.dispute) {
		return
	}
	w.after(w.between(time.Minute, 240*time.Hour), func() {
		amount := a.kept() - a.disputed
		if amount <= 0 {
			return
		}
		w.count("disputes")
		id := fmt.Sprintf("dp_%s_%d", a.ref, w.seq)
		say := func(status string) {
			e.notify(messages.Notify{Kind: messages.NotifyDispute, DisputeID: id, DisputeStatus: status, AmountMinor: amount}, true)
		}
		say("opened")
		w.after(w.between(time.Minute, 400*time.Hour), func() {
			if w.odds(500) || a.kept()-a.disputed < amount {
				say("won")
				return
			}
			a.disputed += amount
			say("lost")
		})
	})
}
