// Package delivery is the way of one command from its arrival to its end, as a state machine
// without I/O.
//
// A [Machine] says which effect comes next: load, commit, call a gateway, wait, move a timer, end.
// Its driver makes the effect and hands the result back. A worker drives each delivery with a
// goroutine; the simulation drives all of them with one, in virtual time. So both run the same
// logic.
//
// It guarantees that nothing is asked of a gateway before the decision to ask is committed, and
// that a decided call is made before anything else is decided. It must not start goroutines, read a
// clock or keep anything beyond one delivery.
package delivery

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// EffectKind names an effect.
type EffectKind int

// The effects, with the method that takes each one's result.
const (
	// Load reads Effect.Key: Machine.Loaded.
	Load EffectKind = iota + 1
	// Commit writes Effect.Change: Machine.Committed.
	Commit
	// Call asks the gateway of Effect.Call: Machine.Answered.
	Call
	// Wait lets Effect.Wait pass: Machine.Waited.
	Wait
	// Reschedule moves the payment's timer to Effect.Timer: Machine.Rescheduled.
	Reschedule
	// End is the last one: Effect.Err is nil if the command came to its outcome.
	End
)

// Effect is the next thing to be done. The fields beside Kind are those that the kind names.
type Effect struct {
	Kind   EffectKind
	Key    store.Key
	Change store.Change
	Call   payment.Call
	Wait   time.Duration
	// Payment is the payment that Reschedule is about, at the version that it must still have.
	Payment *payment.Payment
	Timer   payment.Timer
	Err     error
}

// Config tunes deliveries.
type Config struct {
	Policy payment.Policy
	// Patience is the time that an early command waits for its payment, or for an operation in
	// progress, before it is refused. Zero refuses at once.
	Patience time.Duration
	// Route chooses the gateway for a new authorization of the payment that the command is about.
	Route func(cmd messages.Command, p *payment.Payment) payment.Route
	// Retryable reports whether an error of the store may pass by itself.
	Retryable func(error) bool
}

// ErrTooEarly means that a notification is about an event that has not happened here yet.
var ErrTooEarly = errors.New("a notification came too early")

const (
	outagePause  = 250 * time.Millisecond
	patiencePace = 20 * time.Millisecond
)

// Machine is one delivery. Its methods are called one at a time, each with the time of the
// database.
type Machine struct {
	cfg   *Config
	cmd   messages.Command
	began time.Time
	// loaded is the state that was decided on.
	loaded store.Loaded
	// decision is the latest one, and claim its use of the command's key.
	decision payment.Decision
	claim    *store.Claim
	// call and outcome are the answer that is being decided on; nil while the command itself is.
	call    *payment.Call
	outcome messages.Outcome
	// known is the version at which the call was made.
	known    int64
	asked    payment.Asked
	presumed bool
	// waiting is the effect to come back to after a wait.
	waiting EffectKind
	// Overtaken is set when a decision that presumed a new payment met one that was there.
	Overtaken bool
}

// New returns a machine for a command. presume decides it as if its payment and its key were not
// stored yet: the commit finds out.
func New(cfg *Config, cmd messages.Command, presume bool) *Machine {
	return &Machine{cfg: cfg, cmd: cmd, presumed: presume}
}

// Start returns the first effect.
func (m *Machine) Start(now time.Time) Effect {
	m.began = now
	if m.presumed {
		return m.Loaded(store.Loaded{Payment: &payment.Payment{}}, nil, now)
	}
	return m.load()
}

func (m *Machine) load() Effect {
	key := store.Key{
		PaymentID: m.cmd.PaymentID, Tenant: m.cmd.Tenant, Command: m.cmd.Name(), IdempotencyKey: m.cmd.IdempotencyKey,
	}
	if key.IdempotencyKey != "" {
		key.ConflictHash = store.ConflictHash(m.cmd.PayloadHash, m.cmd.PaymentID)
	}
	return Effect{Kind: Load, Key: key}
}

// Loaded takes the state of the payment and the claim of the command's key.
func (m *Machine) Loaded(loaded store.Loaded, err error, now time.Time) Effect {
	switch {
	case err == nil:
	case m.cfg.Retryable(err):
		return m.wait(outagePause, Load)
	default:
		return Effect{Kind: End, Err: err} // names the payment
	}
	m.loaded = loaded
	if m.call != nil {
		return m.decideAnswer(now)
	}
	return m.decideCommand(now)
}

func (m *Machine) wait(d time.Duration, then EffectKind) Effect {
	m.waiting = then
	return Effect{Kind: Wait, Wait: d}
}

// Waited goes on after a wait.
func (m *Machine) Waited(now time.Time) Effect {
	if m.waiting == Reschedule {
		return m.finish(now)
	}
	return m.load()
}

// decideCommand decides the command on the loaded state.
func (m *Machine) decideCommand(now time.Time) Effect {
	m.decision, m.claim = m.meaning(now)
	if m.decision.TooEarly() {
		if waited := now.Sub(m.began); waited < m.cfg.Patience {
			// Look again soon at first, then more and more rarely.
			return m.wait(min(max(patiencePace, waited/4), m.cfg.Patience-waited), Load)
		}
		if m.cmd.Name() == messages.CommandNotify {
			// A notification cannot be refused: it is kept until its time comes, or a person looks.
			return Effect{Kind: End, Err: fmt.Errorf("%w: %s", ErrTooEarly, m.decision.Refusal.Message)}
		}
	}
	return m.commit(now)
}

// decideAnswer decides what the gateway's answer means for the loaded state.
func (m *Machine) decideAnswer(now time.Time) Effect {
	p := m.loaded.Payment
	d := payment.Settle(p, m.cmd, *m.call, m.outcome, m.env(now))
	if p.Version != m.known && len(d.Events) == 0 && d.Call == nil {
		d = payment.TakeUp(p, m.cmd, m.call.Operation.ID, m.env(now))
	}
	if d.Again != nil {
		if m.asked == nil {
			m.asked = payment.Asked{}
		}
		m.asked[d.Again.OperationID] = d.Again.At
	}
	m.decision, m.claim = d, nil
	return m.commit(now)
}

// commit writes the decision; one without events writes nothing.
func (m *Machine) commit(now time.Time) Effect {
	if len(m.decision.Events) == 0 {
		return m.decided(now)
	}
	before := m.loaded.Payment
	return Effect{Kind: Commit, Change: store.Change{
		Payment: m.decision.Payment, ExpectedVersion: before.Version, Events: m.decision.Events, Claim: m.claim,
		Timer: m.decision.Payment.TimerAfter(now, m.asked), PreviousTimer: before.Timer(now), PreviousHash: before.LastHash,
	}}
}

// Committed goes on after a commit. A change that was overtaken is decided anew on a fresh state,
// and so is one of which it is unknown whether it was written.
func (m *Machine) Committed(err error, now time.Time) Effect {
	presumed := m.presumed
	m.presumed = false
	switch {
	case err == nil:
		return m.decided(now)
	case overtaken(err):
		m.Overtaken = presumed
		return m.load()
	case m.cfg.Retryable(err):
		return m.wait(outagePause, Load)
	default:
		return Effect{Kind: End, Err: err} // names the payment and the version
	}
}

// overtaken reports whether a change was not written because another one came first.
func overtaken(err error) bool {
	return errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrClaimTaken)
}

// decided goes on once the decision stands: with its call first, then with what else is due.
func (m *Machine) decided(now time.Time) Effect {
	d := &m.decision
	// Later decisions of this delivery begin where this one ended.
	m.loaded = store.Loaded{Payment: d.Payment}
	m.presumed = false
	if d.Call != nil {
		m.call, m.known = d.Call, d.Payment.Version
		return Effect{Kind: Call, Call: *d.Call}
	}
	answered := m.call != nil
	m.call = nil
	if m.cmd.Name() == messages.CommandResume && (answered || len(d.Events) > 0) {
		// More than one thing may be due.
		return m.decideCommand(now)
	}
	return m.finish(now)
}

// Answered takes the outcome of a call.
func (m *Machine) Answered(outcome messages.Outcome, now time.Time) Effect {
	m.outcome = outcome
	return m.decideAnswer(now)
}

// finish moves the payment's timer where questions changed nothing, and ends the delivery.
func (m *Machine) finish(now time.Time) Effect {
	if len(m.asked) == 0 {
		return Effect{Kind: End}
	}
	p := m.decision.Payment
	return Effect{Kind: Reschedule, Payment: p, Timer: p.TimerAfter(now, m.asked)}
}

// Rescheduled ends the delivery. That the payment has moved on is fine: then its timer was set with
// that. A timer that was not moved fires again.
func (m *Machine) Rescheduled(err error, _ time.Time) Effect {
	if err != nil && m.cfg.Retryable(err) && !overtaken(err) {
		return m.wait(outagePause, Reschedule)
	}
	return Effect{Kind: End}
}

// meaning decides what a command means in view of its idempotency key: a new question, one answered
// before whose answer may have been cut short, or another question under a key that is taken.
func (m *Machine) meaning(now time.Time) (payment.Decision, *store.Claim) {
	p, cmd, env := m.loaded.Payment, m.cmd, m.env(now)
	known := m.loaded.Claim
	switch {
	case cmd.IdempotencyKey == "":
		return payment.Decide(p, cmd, env), nil
	case known == nil:
		d := payment.Decide(p, cmd, env)
		return d, claimFor(cmd, d)
	case cmd.Name() == messages.CommandNotify:
		// A gateway may word what it repeats differently; its event's id says that it is the same.
		return payment.Decision{Payment: p}, nil
	case known.PaymentID == cmd.PaymentID && known.PayloadHash == cmd.PayloadHash:
		return payment.Continue(p, cmd, known.OperationID, env), nil
	case m.loaded.Conflict != nil:
		return payment.Decision{Payment: p}, nil
	default:
		d := payment.Reject(p, cmd, rejectionFor(cmd, known), env)
		claim := claimFor(cmd, d)
		claim.ConflictHash = store.ConflictHash(cmd.PayloadHash, cmd.PaymentID)
		return d, claim
	}
}

// rejectionFor explains a key that was used before for something else. A create that differs in
// nothing but its payment id is the same create again: the first payment stands, and is named.
func rejectionFor(cmd messages.Command, known *store.RecordedClaim) messages.CommandRejected {
	if cmd.Name() == messages.CommandCreate && known.PayloadHash == cmd.PayloadHash {
		return messages.CommandRejected{
			Code: messages.RejectAlreadyProcessed, OriginalPaymentID: known.PaymentID,
			Message: "this create was processed before, as payment " + known.PaymentID.String(),
		}
	}
	return messages.CommandRejected{
		Code: messages.RejectIdempotencyConflict, OriginalPaymentID: known.PaymentID,
		Message: "the idempotency key was used before for a different " + string(cmd.Name()),
	}
}

func claimFor(cmd messages.Command, d payment.Decision) *store.Claim {
	return &store.Claim{
		Tenant: cmd.Tenant, Command: cmd.Name(), Key: cmd.IdempotencyKey, PayloadHash: cmd.PayloadHash,
		OperationID: d.OperationID(), Rejected: d.Refusal != nil,
	}
}

// env returns everything that a decision depends on besides the payment and the command.
func (m *Machine) env(now time.Time) payment.Env {
	return payment.Env{
		Now: now, Policy: m.cfg.Policy, Asked: m.asked,
		Route: func() payment.Route { return m.cfg.Route(m.cmd, m.loaded.Payment) },
	}
}
