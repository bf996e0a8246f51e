package simulation

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/delivery"
	"github.com/seed-384b1f8a/tender/processor/payment"
	eventstore "github.com/seed-384b1f8a/tender/processor/store"
)

// handling is one delivery of a command in the hands of a worker.
type handling struct {
	*world
	msg *message
	sub *subject
	m   *delivery.Machine
	// skew is the error of the worker's notion of the database's time.
	skew time.Duration
	// known is the payment that the latest decision was made on.
	known *payment.Payment
	// calling means that the answer to a call has not been taken in yet.
	calling bool
}

// work hands a command to a worker, which drives it effect by effect.
func (w *world) work(msg *message) {
	h := &handling{world: w, msg: msg, sub: w.subject(msg.cmd.PaymentID)}
	h.skew = time.Duration(w.rng.IntN(100)-50) * time.Millisecond
	presume := msg.cmd.Name() == messages.CommandCreate && msg.deliveries == 1 && w.odds(800)
	h.m = delivery.New(&w.cfg, msg.cmd, presume)
	h.known = &payment.Payment{}
	w.trace("%s %s of %s, delivery %d, presumes=%t", msg.cmd.Name(), msg.cmd.ID, w.short(h.sub.id), msg.deliveries, presume)
	h.step(func() delivery.Effect { return h.m.Start(h.time()) })
}

// time is the database's time as the worker knows it.
func (h *handling) time() time.Time { return h.now.Add(h.skew) }

// step lets the machine decide, and makes the effect that it asks for. A panic costs the delivery.
func (h *handling) step(decide func() delivery.Effect) {
	effect, ok := h.decide(decide)
	switch {
	case !ok:
		h.drop()
		h.bus.handBack(h.msg)
		return
	case h.faulty(h.profile.crash):
		// The worker dies: the command comes again when it is missed.
		h.count("crashes")
		h.trace("CRASH before %s", effectName(effect.Kind))
		h.drop()
		h.bus.again(h.msg, time.Duration(h.rng.Int64N(int64(ackWait))))
		return
	}
	if effect.Kind == delivery.Call && !effect.Call.Lookup {
		// What becomes known while the call is on its way to the gateway cannot hold it back.
		h.checkCall(h.sub, h.known, effect.Call.Operation)
	}
	delay := h.between(time.Millisecond, 50*time.Millisecond)
	if effect.Kind == delivery.Wait {
		delay = effect.Wait
	}
	if h.faulty(h.profile.pause) {
		// The worker stands still: its command may go to another one meanwhile.
		delay = h.between(time.Second, 10*time.Minute)
		h.count("pauses")
		h.trace("PAUSE of %s before %s", delay, effectName(effect.Kind))
		if delay > ackWait {
			h.bus.again(h.msg, ackWait)
		}
	}
	h.after(delay, func() { h.make(effect) })
}

func (h *handling) decide(decide func() delivery.Effect) (effect delivery.Effect, ok bool) {
	defer func() {
		value := recover()
		if value == nil {
			return
		}
		h.count("panics")
		if !h.sub.lost {
			h.fail("nothing is impossible", "%s of %s panicked: %v", h.msg.cmd.Name(), h.short(h.sub.id), value)
		}
		h.trace("PANIC %v", value)
		effect, ok = delivery.Effect{}, false
	}()
	return decide(), true
}

// drop forgets the delivery.
func (h *handling) drop() { h.landed() }

// landed notes that no answer is on its way any more.
func (h *handling) landed() {
	if h.calling {
		h.calling = false
		h.sub.flights--
	}
}

// make makes one effect and goes on with the next.
func (h *handling) make(e delivery.Effect) {
	h.effects++
	h.mix(effectName(e.Kind), h.known.Version)
	switch e.Kind {
	case delivery.Load:
		h.load(e)
	case delivery.Commit:
		h.commit(e)
	case delivery.Call:
		h.call(e.Call)
	case delivery.Wait:
		h.step(func() delivery.Effect { return h.m.Waited(h.time()) })
	case delivery.Reschedule:
		err := errAway()
		if !h.faulty(h.profile.storeAway) {
			err = h.store.reschedule(e.Payment.Tenant, e.Payment.ID, e.Payment.Version, e.Timer)
		}
		h.trace("reschedule %s: %v", e.Timer.At.Sub(began()), err)
		h.step(func() delivery.Effect { return h.m.Rescheduled(err, h.time()) })
	case delivery.End:
		h.end(e.Err)
	}
	h.check(h.sub)
}

func (h *handling) load(e delivery.Effect) {
	loaded, err := h.store.load(e.Key)
	if h.faulty(h.profile.storeAway) {
		loaded, err = eventstore.Loaded{}, errAway()
	}
	if err == nil {
		h.known = loaded.Payment
	}
	h.step(func() delivery.Effect { return h.m.Loaded(loaded, err, h.time()) })
}

// commit writes a change. Its answer may be lost, and then it may have been written, or not, or be
// written later.
func (h *handling) commit(e delivery.Effect) {
	change := e.Change
	var err error
	if !h.faulty(h.profile.commitUnknown) {
		err = h.store.commit(&change)
	} else {
		err = fmt.Errorf("simulated: %w", eventstore.ErrOutcomeUnknown)
		switch h.rng.IntN(3) {
		case 0:
			_ = h.store.commit(&change)
		case 1:
			h.after(h.between(time.Millisecond, time.Second), func() {
				late := change
				late.Payment = change.Payment.Clone()
				if h.store.commit(&late) == nil {
					h.trace("written after all")
				}
			})
		}
		h.count("commits of unknown outcome")
	}
	if err == nil {
		h.known = change.Payment
	} else {
		h.trace("commit at %d: %v", e.Change.ExpectedVersion, err)
	}
	h.step(func() delivery.Effect {
		next := h.m.Committed(err, h.time())
		if err == nil {
			h.landed()
			h.checkMade(change.Events[len(change.Events)-1], next)
		}
		return next
	})
}

// call asks a gateway.
func (h *handling) call(c payment.Call) {
	g := h.gatewayNamed(c.Operation.Gateway)
	var outcome messages.Outcome
	if c.Lookup {
		outcome = g.lookup(c.Operation)
		h.count("lookups")
	} else {
		outcome = g.do(h.sub, c.Operation)
		h.count("calls")
	}
	if !h.calling {
		h.calling = true
		h.sub.flights++
	}
	h.trace("%s %s at %s (attempt %d, lookup=%t): %s", c.Operation.Kind, short(c.Operation.ID), g.name, c.Operation.Attempt, c.Lookup, show(outcome))
	latency := h.between(10*time.Millisecond, 5*time.Second)
	h.after(latency, func() {
		outcome.Latency = latency
		h.step(func() delivery.Effect {
			next := h.m.Answered(outcome, h.time())
			if next.Kind != delivery.Commit {
				h.landed()
			}
			return next
		})
	})
}

func (h *handling) end(err error) {
	h.landed()
	if err == nil {
		h.bus.ack(h.msg)
		return
	}
	h.trace("handed back: %v", err)
	h.bus.handBack(h.msg)
}

// route is the same for all payments of a run.
func (w *world) route(messages.Command, *payment.Payment) payment.Route {
	return payment.Route{
		Gateway: "first", Rule: "only", Fallbacks: []string{"second", "third"}[:w.profile.fallbacks],
		FailoverOnDecline: w.profile.failoverOnDecline,
	}
}

func effectName(k delivery.EffectKind) string {
	switch k {
	case delivery.Load:
		return "load"
	case delivery.Commit:
		return "commit"
	case delivery.Call:
		return "call"
	case delivery.Wait:
		return "wait"
	case delivery.Reschedule:
		return "reschedule"
	default:
		return "end"
	}
}

func (w *world) short(id uuid.UUID) string { return fmt.Sprintf("payment %d", id[15]) }

// short is an operation's number alone, after the payment's.
func short(operationID string) string {
	return operationID[max(0, len(operationID)-4):]
}

func show(o messages.Outcome) string {
	s := string(o.Kind)
	if o.AmountMinor != 0 {
		s += fmt.Sprintf(" %d", o.AmountMinor)
	}
	if o.Decline != nil {
		s += " " + o.Decline.Code + " (" + string(o.Decline.Class) + ")"
	}
	if o.Rest != "" {
		s += " resting " + string(o.Rest)
	}
	if o.Authorization != nil {
		s += fmt.Sprintf(" captured %d, released %d", o.Authorization.CapturedMinor, o.Authorization.ReleasedMinor)
	}
	return s + " " + o.Detail
}
