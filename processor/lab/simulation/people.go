package simulation

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

const tenant = "acme"

// begin lets producers ask for payments, and everything that is planned happen.
func (w *world) begin() {
	for i := range w.profile.payments {
		sub := &subject{id: uuid.UUID{6: 0x70, 8: 0x80, 15: byte(i + 1)}}
		w.subjects = append(w.subjects, sub)
		w.after(w.between(time.Millisecond, time.Minute), func() { w.create(sub) })
		for range 2 + w.rng.IntN(7) {
			w.after(w.between(100*time.Millisecond, 300*time.Hour), func() { w.ask(sub) })
		}
	}
	w.planOutages()
	if w.profile.restore > 0 {
		for range 3 {
			w.after(w.between(time.Second, 200*time.Hour), w.store.keep)
		}
		w.after(w.between(time.Minute, 250*time.Hour), w.store.restore)
	}
}

func (w *world) create(sub *subject) {
	body := &messages.Create{
		AmountMinor: 2 + w.rng.Int64N(20_000), Currency: "EUR", PaymentMethod: "pm_card_visa", CaptureMethod: w.profile.method,
	}
	if w.profile.retry {
		body.Retry = &messages.Retry{MaxAttempts: 2 + w.rng.IntN(6), Until: w.now.Add(20 * 24 * time.Hour)}
	}
	w.send(sub, body)
}

// send publishes a command under a key of its own, sometimes more than once.
func (w *world) send(sub *subject, body messages.CommandBody) {
	w.seq++
	id := fmt.Sprintf("%s-%d", body.CommandName(), w.seq)
	cmd := messages.Command{
		ID: id, Tenant: tenant, PaymentID: sub.id, IdempotencyKey: id, CorrelationID: "order", PayloadHash: sha256.Sum256([]byte(id)), Body: body,
	}
	w.bus.publish(cmd, nil)
	if !w.odds(w.profile.duplicates) {
		return
	}
	w.after(w.between(time.Millisecond, 72*time.Hour), func() {
		switch w.rng.IntN(4) {
		case 0:
			cmd.ID += "-again"
		case 1:
			// Another question under the same key.
			cmd.PayloadHash = sha256.Sum256([]byte(id + "-other"))
		case 2:
			// The same question for another payment.
			cmd.PaymentID = w.subjects[w.rng.IntN(len(w.subjects))].id
		}
		w.count("duplicates")
		w.bus.publish(cmd, nil)
	})
}

// ask lets a producer ask for something: mostly what the status invites.
func (w *world) ask(sub *subject) {
	p := w.store.get(sub.id)
	var bodies []messages.CommandBody
	part := func(of int64) *int64 {
		if of < 2 || w.odds(500) {
			return nil
		}
		n := 1 + w.rng.Int64N(of)
		return &n
	}
	capture := &messages.Capture{AmountMinor: part(p.CapturableMinor()), Final: w.odds(300)}
	refund := &messages.Refund{AmountMinor: part(p.RefundableMinor())}
	switch p.Status {
	case messages.StatusRequiresAction:
		bodies = []messages.CommandBody{&messages.Confirm{}, &messages.Confirm{}, &messages.Void{}}
	case messages.StatusRequiresPaymentMethod:
		bodies = []messages.CommandBody{&messages.Confirm{PaymentMethod: "pm_other"}, &messages.Void{}}
	case messages.StatusAuthorized, messages.StatusPartiallyCaptured:
		bodies = []messages.CommandBody{capture, capture, &messages.Void{}}
	case messages.StatusCaptured, messages.StatusPartiallyRefunded:
		bodies = []messages.CommandBody{refund}
	default:
	}
	if len(bodies) == 0 || !w.profile.tidy && w.odds(400) {
		bodies = []messages.CommandBody{
			&messages.Confirm{}, &messages.Confirm{PaymentMethod: "pm_other"}, capture, &messages.Void{}, refund,
			&messages.Resume{Now: w.odds(500)},
		}
	}
	body := bodies[w.rng.IntN(len(bodies))]
	if resume, ok := body.(*messages.Resume); ok {
		w.seq++
		w.bus.publish(messages.Command{ID: fmt.Sprint("asked-", w.seq), Tenant: tenant, PaymentID: sub.id, CorrelationID: "order", Body: resume}, nil)
		return
	}
	w.send(sub, body)
}

// tell sends a notification of what became of an operation, as often as the gateway does so.
func (e *entry) tell(certain int) {
	w := e.gw.w
	if certain == 0 && !w.odds(w.profile.tells) {
		return
	}
	o := e.outcome(false)
	n := messages.Notify{Kind: messages.NotifyOutcome, Outcome: o.Kind, AmountMinor: o.AmountMinor, CaptureBefore: o.CaptureBefore}
	if o.Decline != nil {
		n.DeclineCode = o.Decline.Code
		if w.odds(800) {
			n.DeclineClass = o.Decline.Class
		}
	}
	if o.NextAction != nil {
		n.NextActionType, n.NextActionURL = o.NextAction.Type, o.NextAction.URL
	}
	e.notify(n, certain > 0)
}

// notify publishes a notification some time later, perhaps twice. One that is certain has to be
// taken in before the books are compared.
func (e *entry) notify(n messages.Notify, certain bool) {
	w := e.gw.w
	w.seq++
	n.Gateway, n.EventID, n.OperationID = e.gw.name, fmt.Sprint("evt_", w.seq), e.op.ID
	if e.acct != nil {
		n.GatewayReference = e.acct.ref
	}
	if !certain && n.GatewayReference != "" && e.op.Kind == messages.OperationAuthorize && w.odds(200) {
		n.OperationID = "" // Tender has to know it by the gateway's reference.
	}
	id := n.Gateway + ":" + n.EventID
	cmd := messages.Command{
		ID: id, Tenant: tenant, PaymentID: e.sub.id, IdempotencyKey: id, CorrelationID: "order", PayloadHash: sha256.Sum256([]byte(id)), Body: &n,
	}
	var heard func()
	if sub := e.sub; certain {
		sub.unheard++
		known := false
		heard = func() {
			if !known {
				known = true
				sub.unheard--
			}
		}
	}
	delay := w.between(time.Millisecond, 10*time.Second)
	if w.odds(w.profile.late) {
		delay = w.between(10*time.Second, 72*time.Hour)
	}
	w.count("notifications")
	w.after(delay, func() { w.bus.publish(cmd, heard) })
	if w.odds(w.profile.duplicates) {
		w.after(delay+w.between(time.Second, 72*time.Hour), func() { w.bus.publish(cmd, nil) })
	}
}

// callOperator lets an operator look at a payment that is in review.
func (w *world) callOperator(sub *subject) {
	if sub.visitor || w.odds(w.profile.absentOperator) {
		return
	}
	sub.visitor = true
	w.after(w.between(10*time.Minute, 96*time.Hour), func() {
		sub.visitor = false
		w.visit(sub)
	})
}

// visitsMax is the number of visits after which operators leave a payment alone.
const visitsMax = 12

// visit lets an operator put one thing right, by what the gateways' ledgers say.
func (w *world) visit(sub *subject) {
	p := w.store.get(sub.id)
	if sub.visits >= visitsMax || !p.InReview() && p.ExcessMinor == 0 {
		return
	}
	sub.visits++
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.ExcessMinor > 0 && op.Kind != messages.OperationRefund && w.odds(700) {
			w.count("compensations")
			w.send(sub, &messages.Compensate{OperationID: op.ID, Actor: "ada", Reason: "excess"})
			break
		}
		if op.InReview() && w.resolve(sub, p, op) {
			break
		}
	}
	w.callOperator(sub)
}

// resolve tells what the ledger says of an operation; false if it does not say it yet.
func (w *world) resolve(sub *subject, p *payment.Payment, op *payment.Operation) bool {
	moved, reference, known := w.truth(p, op)
	if !known {
		return false
	}
	body := &messages.Resolve{OperationID: op.ID, Outcome: messages.ResolvedFailed, Actor: "ada", Reason: "statement"}
	if moved > 0 {
		body.Outcome, body.GatewayReference = messages.ResolvedSucceeded, reference
		if op.Kind != messages.OperationVoid {
			body.AmountMinor = &moved
		}
	}
	if w.odds(w.profile.badOperator) {
		sub.excuse = "an operator resolved it wrongly"
		body.AmountMinor = nil
		if body.Outcome = messages.ResolvedFailed; moved == 0 {
			body.Outcome, body.GatewayReference = messages.ResolvedSucceeded, "made_up"
		}
	}
	w.count("resolves")
	w.trace("an operator resolves %s %s as %s, %d moved", op.Kind, short(op.ID), body.Outcome, moved)
	w.send(sub, body)
	return true
}

// truth is the amount that an operation moved, for a void 1 if it released what there was.
func (w *world) truth(p *payment.Payment, op *payment.Operation) (moved int64, reference string, known bool) {
	g := w.gatewayNamed(op.Gateway)
	e := g.entries[tenant+"/"+op.ID]
	if op.Kind == messages.OperationConfirm {
		if e != nil && e.kind == messages.OutcomePending {
			return 0, "", false
		}
		// The ledger has one entry for an authorization, however it was completed.
		e = g.entries[tenant+"/"+op.Target]
	}
	switch {
	case e == nil || e.acct == nil && e.kind == messages.OutcomeDeclined:
		return 0, "", true
	case e.kind == messages.OutcomePending:
		return 0, "", false
	}
	a := e.acct
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		if a.page {
			// The operator closes the page by hand.
			a.page = false
			if authorize := g.entries[tenant+"/"+a.opID]; authorize.kind == messages.OutcomeRequiresAction {
				authorize.declineAs("authorization_voided", messages.DeclineFixData)
			}
		}
		// Of what a bank took back by itself, only that counts which Tender has recorded as such.
		moved = a.authorized - g.entries[tenant+"/"+a.opID].reversed
		for i := range p.Operations {
			other := &p.Operations[i]
			if other.ID != op.ID && isAuthorization(other.Kind) && other.Purpose == "" &&
				(other.ID == a.opID || other.Target == a.opID) {
				moved += other.ReversedMinor - reported(other)
			}
		}
		return max(0, moved+op.ReversedMinor), a.ref, true
	case messages.OperationVoid:
		if a.rest() == 0 && a.captured == 0 && !a.page && !a.pending {
			return 1, a.ref, true
		}
		return 0, a.ref, true
	default:
		return e.moved - e.reversed + op.ReversedMinor, a.ref, true
	}
}
