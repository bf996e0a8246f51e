package simulation

import (
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// keyLife is how long a gateway remembers an idempotency key.
const keyLife = 24 * time.Hour

// gateway is a model of a gateway: what it was asked for, what it did, and what it says of that.
type gateway struct {
	w    *world
	name string
	// entries are the operations that arrived, by tenant and operation id.
	entries  map[string]*entry
	accounts map[string]*account
	// away is the end of the outage under way.
	away time.Time
}

// account is an authorization at a gateway.
type account struct {
	gw  *gateway
	sub *subject
	ref string
	// opID is the authorize that made it.
	opID    string
	asked   int64
	capture bool
	// page means that the customer can complete it; pending that the gateway will say later.
	page, pending bool
	authorized    int64
	captured      int64
	released      int64
	refunded      int64
	disputed      int64
	reversed      int64
	// outside was captured by other means than Tender.
	outside       int64
	captureBefore time.Time
	confirms      []*entry
}

// rest is the amount that it holds and that was not captured.
func (a *account) rest() int64 { return max(0, a.authorized-a.captured-a.released) }

// kept is the captured amount that is still there.
func (a *account) kept() int64 { return a.captured - a.refunded - a.reversed }

// holds reports whether it has the customer's money, or may still get it.
func (a *account) holds() bool { return a.rest() > 0 || a.kept() > 0 || a.page || a.pending }

// entry is an operation at a gateway.
type entry struct {
	gw   *gateway
	sub  *subject
	op   messages.Operation
	at   time.Time
	acct *account
	kind messages.OutcomeKind
	// moved is the truth, reversed what banks took back of it.
	moved, reversed int64
	// silent means that the answers name no amount.
	silent  bool
	decline *messages.Decline
	effects int
}

func newGateway(w *world, name string) *gateway {
	return &gateway{w: w, name: name, entries: map[string]*entry{}, accounts: map[string]*account{}}
}

func (w *world) gatewayNamed(name string) *gateway {
	for _, g := range w.gateways {
		if g.name == name {
			return g
		}
	}
	panic("simulation: no gateway " + name)
}

func key(op messages.Operation) string { return op.Tenant + "/" + op.ID }

// do makes an operation, or does not, and answers or does not.
func (g *gateway) do(sub *subject, op messages.Operation) messages.Outcome {
	w, p := g.w, &g.w.profile
	if w.now.Before(g.away) {
		if w.odds(700) {
			return messages.Outcome{
				Kind: messages.OutcomeNotSent, Rest: messages.RestGateway, RetryAfter: w.between(time.Second, time.Minute), Detail: "outage",
			}
		}
		return messages.Outcome{Kind: messages.OutcomeUnknown, Tries: 1, Detail: "no answer in an outage"}
	}
	switch {
	case w.odds(p.notSent):
		return g.notSent()
	case w.odds(p.lostRequest):
		return messages.Outcome{Kind: messages.OutcomeUnknown, Tries: 1, Detail: "the request is lost"}
	case w.odds(p.lateRequest):
		// It arrives after its caller has given up.
		w.after(w.between(time.Second, time.Minute), func() {
			g.arrive(sub, op)
			w.check(sub)
		})
		return messages.Outcome{Kind: messages.OutcomeUnknown, Tries: 1, Detail: "the request is late"}
	case w.odds(p.inProgress):
		if w.odds(500) {
			g.arrive(sub, op)
		}
		return messages.Outcome{
			Kind: messages.OutcomeUnknown, Tries: 1, Rest: messages.RestOperation, RetryAfter: w.between(time.Second, time.Minute), Detail: "in progress",
		}
	}
	e := g.arrive(sub, op)
	if w.odds(p.lostAnswer) {
		return messages.Outcome{Kind: messages.OutcomeUnknown, Tries: 1, Detail: "the answer is lost"}
	}
	return e.outcome(false)
}

// notSent refuses a call before it was looked at.
func (g *gateway) notSent() messages.Outcome {
	o := messages.Outcome{Kind: messages.OutcomeNotSent, RetryAfter: g.w.between(time.Second, time.Minute), Detail: "refused unseen", Tries: 1}
	switch g.w.rng.IntN(5) {
	case 0:
		o.Rest = messages.RestOperation
	case 1:
		o.Rest = messages.RestGateway
	case 2:
		o.Rest = messages.RestCredentials
	case 3:
		o.Rest, o.Tries = messages.RestLocal, 0
	default:
		o.RetryAfter = 0
	}
	return o
}

// lookup tells what is known of an operation.
func (g *gateway) lookup(op messages.Operation) messages.Outcome {
	w := g.w
	switch {
	case w.now.Before(g.away) && w.odds(500), w.odds(g.w.profile.lookupRefused):
		return messages.Outcome{Kind: messages.OutcomeUnknown, RetryAfter: w.between(time.Second, time.Minute), Detail: "could not ask"}
	case w.now.Before(g.away), w.odds(g.w.profile.lookupUnknown):
		return messages.Outcome{Kind: messages.OutcomeUnknown, Tries: 1, Detail: "no answer to the lookup"}
	}
	e := g.entries[key(op)]
	if e == nil || w.now.Sub(e.at) < time.Minute && w.odds(g.w.profile.lookupBehind) {
		return messages.Outcome{Kind: messages.OutcomeNotFound, Tries: 1}
	}
	return e.outcome(true)
}

// arrive takes an operation in. A key that is known is answered as before; one that was forgotten
// is done anew.
func (g *gateway) arrive(sub *subject, op messages.Operation) *entry {
	e := g.entries[key(op)]
	switch {
	case e != nil && g.w.now.Sub(e.at) < keyLife:
		return e
	case e != nil:
		g.w.count("forgotten keys")
		e.at = g.w.now
	default:
		e = &entry{gw: g, sub: sub, op: op, at: g.w.now}
		g.entries[key(op)] = e
	}
	switch op.Kind {
	case messages.OperationAuthorize:
		e.authorize()
	case messages.OperationConfirm:
		e.confirm()
	case messages.OperationCapture:
		e.capture()
	case messages.OperationVoid:
		e.void()
	case messages.OperationRefund:
		e.refund()
	}
	g.w.mix(string(e.kind), e.moved)
	return e
}

// outcome is what the gateway says now.
func (e *entry) outcome(lookup bool) messages.Outcome {
	w := e.gw.w
	o := messages.Outcome{Kind: e.kind, Tries: 1}
	if e.acct != nil {
		o.GatewayReference = e.acct.ref
	}
	switch e.kind {
	case messages.OutcomeSucceeded:
		if !e.silent || lookup && w.profile.lookupAmount {
			o.AmountMinor = e.says()
		}
		if e.acct != nil && isAuthorization(e.op.Kind) {
			o.CaptureBefore = e.acct.captureBefore
			if lookup && w.profile.lookupState {
				o.Authorization = &messages.AuthorizationState{CapturedMinor: e.acct.captured, ReleasedMinor: e.acct.released}
			}
		}
	case messages.OutcomeDeclined:
		d := *e.decline
		o.Decline = &d
	case messages.OutcomeRequiresAction:
		o.NextAction = &messages.NextAction{Type: "redirect", URL: "https://bank.example/3ds"}
	default: // Pending.
	}
	return o
}

// says is the amount of a success.
func (e *entry) says() int64 {
	switch {
	case e.op.Kind == messages.OperationVoid:
		return 0
	case isAuthorization(e.op.Kind):
		return e.acct.authorized
	default:
		return e.moved
	}
}

func isAuthorization(k messages.OperationKind) bool {
	return k == messages.OperationAuthorize || k == messages.OperationConfirm
}

func (e *entry) declineAs(code string, class messages.DeclineClass) {
	e.kind, e.decline = messages.OutcomeDeclined, &messages.Decline{Code: code, Class: class}
}

// effect notes that the operation moves money, which it may do once.
func (e *entry) effect() {
	e.effects++
	if e.effects > 1 && e.sub.excuse == "" {
		e.gw.w.fail("no effect twice", "%s %s at %s had effect %d", e.op.Kind, short(e.op.ID), e.gw.name, e.effects)
	}
}

// amount is the amount that the gateway moves for what it is asked for.
func (e *entry) amount() int64 {
	w, asked := e.gw.w, e.op.AmountMinor
	e.silent = w.odds(w.profile.silent)
	switch {
	case w.odds(w.profile.partial) && asked > 1:
		w.count("partial amounts")
		return 1 + w.rng.Int64N(asked-1)
	case w.odds(w.profile.more):
		w.count("greater amounts")
		return asked + 1 + w.rng.Int64N(asked)
	default:
		return asked
	}
}

// authorize plans the life of an authorization.
func (e *entry) authorize() {
	w, g := e.gw.w, e.gw
	p := &w.profile
	if e.op.Gateway != "first" && p.foreign {
		e.declineAs("invalid_request", messages.DeclineFixData)
		return
	}
	a := &account{
		gw: g, sub: e.sub, ref: fmt.Sprintf("%s_%d", g.name, len(g.accounts)+1), opID: e.op.ID, asked: e.op.AmountMinor, capture: e.op.Capture,
	}
	g.accounts[a.ref], e.acct = a, a
	e.sub.accounts = append(e.sub.accounts, a)
	switch {
	case w.odds(p.decline):
		e.declineAs("some_code", p.class(w))
		e.mayFlip()
	case w.odds(p.action):
		e.kind, a.page = messages.OutcomeRequiresAction, true
		e.customer()
	case w.odds(p.pending):
		e.kind, a.pending = messages.OutcomePending, true
		e.finishLater(func() { e.complete(e.amount()) })
	default:
		e.complete(e.amount())
	}
	e.tell(0)
}

// complete makes the authorization hold, or capture, an amount.
func (e *entry) complete(amount int64) {
	a, w := e.acct, e.gw.w
	e.effect()
	a.page, a.pending = false, false
	e.kind, e.moved = messages.OutcomeSucceeded, amount
	a.authorized += amount
	if a.capture {
		a.captured += amount
		w.later(a)
		return
	}
	lapse := 7*24*time.Hour + w.between(time.Second, 72*time.Hour)
	switch {
	case w.odds(w.profile.pastTimes):
		a.captureBefore = w.now.Add(-w.between(time.Second, 240*time.Hour))
	case w.odds(500):
		a.captureBefore = w.now.Add(w.between(24*time.Hour, lapse))
	}
	w.after(lapse, func() {
		if a.rest() > 0 {
			w.trace("authorization %s lapses", a.ref)
			a.released += a.rest()
		}
	})
	if w.odds(w.profile.outside) {
		w.after(w.between(time.Minute, 200*time.Hour), func() { a.captureOutside() })
	}
}

// captureOutside captures by other means than Tender.
func (a *account) captureOutside() {
	if a.rest() == 0 || a.captured > 0 {
		return
	}
	w := a.gw.w
	a.outside = a.rest()
	if w.odds(500) {
		a.outside = 1 + w.rng.Int64N(a.rest())
		a.released += a.rest() - a.outside
	}
	a.captured += a.outside
	w.count("captures by other means")
	w.trace("captured %d of %s by other means", a.outside, a.ref)
}
