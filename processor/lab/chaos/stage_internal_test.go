package chaos

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// stage performs plans with the real core and simulated gateways, one command after the other in
// virtual time, without servers. What it records is what a run leaves behind.
type stage struct {
	*testing.T
	now    atomic.Int64
	sims   map[string]*sim.Simulator
	policy payment.Policy
	evidence
	sequence uint64
	// The defects of a mutant: what it refuses, what it makes a dead letter, what it drops.
	refuses, buries func(messages.CommandName) bool
	drops           func(messages.NotifyKind) bool
	operations      map[string]uuid.UUID
}

const stagePayments = 700

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{T: t, sims: map[string]*sim.Simulator{}, operations: map[string]uuid.UUID{}}
	s.now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	for _, name := range []string{"primary", "second"} {
		simulator, err := sim.New(sim.Config{Hang: 50 * time.Millisecond, Now: s.clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = simulator.Close() })
		s.sims[name] = simulator
	}
	s.policy = payment.DefaultPolicy()
	s.policy.UnknownReplays = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}
	s.policy.UnknownLookups = []time.Duration{time.Minute}
	s.policy.SoftRetries = []time.Duration{time.Second}
	s.evidence = evidence{
		run:      Run{Seed: 11, Tenants: []string{"acme", "globex"}, Webhooks: true},
		payments: map[uuid.UUID]*payment.Payment{}, answers: map[slot]answer{}, refusals: map[place]messages.RejectionCode{},
		letters: map[string]string{}, ladder: time.Minute,
	}
	return s
}

func (s *stage) clock() time.Time { return time.Unix(0, s.now.Load()).UTC() }

func (s *stage) plan() plan {
	return plan{seed: s.run.Seed, tenants: s.run.Tenants, webhooks: true, payments: stagePayments}
}

// perform performs the scripts and gathers the ledgers.
func (s *stage) perform() {
	p := s.plan()
	for i := 0; p.script(i) != nil; i++ {
		s.performScript(p.script(i))
	}
	s.ledgers = map[string]audit.Ledger{}
	for name, simulator := range s.sims {
		var ledger audit.Ledger
		for _, e := range simulator.Ledger() {
			ledger.Entries = append(ledger.Entries, audit.LedgerEntry{
				At: e.At, OperationID: e.OperationID, Kind: e.Kind, Tenant: e.Tenant, PaymentID: e.PaymentID, Currency: e.Currency,
				AuthorizedMinor: e.AuthorizedMinor, CapturedMinor: e.CapturedMinor, ReleasedMinor: e.ReleasedMinor, RefundedMinor: e.RefundedMinor,
			})
		}
		s.ledgers[name] = ledger
	}
	for id, p := range s.payments { // the bank of such a card takes captures back
		if p.PaymentMethod != "sim_capture_reversed" {
			continue
		}
		for i := range p.Operations {
			if op := &p.Operations[i]; op.ReversedMinor > 0 {
				ledger := s.ledgers[op.Gateway]
				ledger.Entries = append(ledger.Entries, audit.LedgerEntry{
					OperationID: op.ID, Kind: op.Kind, PaymentID: id, CapturedMinor: -op.ReversedMinor, ReleasedMinor: op.ReversedMinor, Reversal: true,
				})
				s.ledgers[op.Gateway] = ledger
			}
		}
	}
}

// performScript takes the steps as the workload does: it ends where an answer is not as planned.
func (s *stage) performScript(sc *script) {
	for n := range sc.steps {
		step := &sc.steps[n]
		if step.reviewed {
			operation := ""
			for _, r := range s.reviews {
				if r.paymentID == sc.id {
					operation = r.operation
				}
			}
			if operation == "" {
				return
			}
			step.planned = sc.reviewedBy(step.command, operation)
		}
		answered := false
		for _, c := range append([]planned{step.planned}, step.copies...) {
			sent := c.describe(sc.number(n))
			s.sequence++
			sent.Acknowledged, sent.Tries, sent.Sequence, sent.Stream = true, 1, s.sequence, messages.StreamCommands
			s.sent = append(s.sent, sent)
			answered = s.deliver(c, &sent)
		}
		if !sc.impatient && step.command != "" && answered != (step.refusal == "") {
			return
		}
		s.tell(sc)
	}
}

// deliver handles one message, and reports whether its command was accepted.
func (s *stage) deliver(c planned, sent *Sent) (accepted bool) {
	defer func() {
		// A panic costs the delivery, as in a worker; each further one ends the same.
		if problem := recover(); problem != nil {
			s.letters[sent.MessageID] = "handling_panicked"
		}
	}()
	if sent.DeadLetter != "" {
		s.letters[sent.MessageID] = sent.DeadLetter
		return true
	}
	cmd, err := messages.DecodeCommand(c.msg.Subject, c.msg.Header, c.msg.Data)
	if err != nil {
		s.Fatal(err)
	}
	if s.buries != nil && s.buries(cmd.Name()) {
		s.letters[sent.MessageID] = "deliveries_exhausted"
		return false
	}
	q := sent.question()
	at, before := q.slot(), s.load(cmd.PaymentID)
	own, taken := s.answers[at]
	var d payment.Decision
	switch {
	case taken && own.paymentID == q.paymentID && own.payload == q.payload:
		return own.event != messages.EventCommandRejected
	case taken:
		at = q.besides()
		code := messages.RejectIdempotencyConflict
		if own.payload == q.payload && cmd.Name() == messages.CommandCreate {
			code = messages.RejectAlreadyProcessed
		}
		if again, refused := s.answers[at]; refused {
			return again.event != messages.EventCommandRejected
		}
		d = payment.Reject(before, cmd, messages.CommandRejected{Code: code}, s.env(cmd.PaymentID, nil))
	case s.refuses != nil && s.refuses(cmd.Name()):
		d = payment.Reject(before, cmd, messages.CommandRejected{Code: messages.RejectInvalidState}, s.env(cmd.PaymentID, nil))
	default:
		d = payment.Decide(before, cmd, s.env(cmd.PaymentID, nil))
	}
	first := d.Events[len(d.Events)-1]
	s.answers[at] = answer{cmd.PaymentID, cmd.PayloadHash, first.Type(), first.Version}
	s.follow(cmd, d, nil)
	s.rest(cmd.Tenant, cmd.PaymentID)
	return d.Refusal == nil
}

func (s *stage) load(id uuid.UUID) *payment.Payment {
	if p := s.payments[id]; p != nil {
		return p
	}
	return &payment.Payment{}
}

func (s *stage) env(id uuid.UUID, asked payment.Asked) payment.Env {
	route := payment.Route{Gateway: "primary", Rule: "test", Fallbacks: []string{"second"}, FailoverOnDecline: true}
	if id[15]%2 == 0 {
		route.Gateway, route.Fallbacks = "second", []string{"primary"}
	}
	return payment.Env{Now: s.clock(), Policy: s.policy, Route: func() payment.Route { return route }, Asked: asked}
}

// follow records a decision, makes its call and settles the answer, until there is no call.
func (s *stage) follow(cmd messages.Command, d payment.Decision, asked payment.Asked) {
	for {
		for _, e := range d.Events {
			at := place{e.PaymentID, e.Version}
			switch data := e.Data.(type) {
			case *messages.CommandRejected:
				s.refusals[at] = data.Code
			case *messages.PaymentReviewOpened:
				r := review{paymentID: e.PaymentID, operation: data.OperationID, reason: data.Reason, opened: e.OccurredAt}
				if op := d.Payment.Operation(data.OperationID); op != nil {
					r.since = op.UnknownSince
				}
				s.reviews = append(s.reviews, r)
			}
			s.seen = append(s.seen, Seen{PaymentID: e.PaymentID, Version: e.Version, Type: e.Type()})
		}
		s.payments[cmd.PaymentID] = d.Payment
		if d.Again != nil && asked != nil {
			asked[d.Again.OperationID] = d.Again.At
		}
		if d.Call == nil {
			return
		}
		d = payment.Settle(d.Payment, cmd, *d.Call, s.call(d.Payment, d.Call), s.env(cmd.PaymentID, asked))
	}
}

func (s *stage) call(p *payment.Payment, c *payment.Call) messages.Outcome {
	wait := 2 * time.Millisecond
	if strings.HasPrefix(p.PaymentMethod, "sim_slow") {
		wait = time.Minute
	}
	ctx, cancel := context.WithTimeout(s.Context(), wait)
	defer cancel()
	do := s.sims[c.Operation.Gateway].Do
	if c.Lookup {
		do = s.sims[c.Operation.Gateway].Lookup
	}
	outcome := do(ctx, c.Operation)
	outcome.Tries = 1
	return outcome
}

// stageHorizon is beyond every timer but the expiry of an authorization that is not to lapse.
const stageHorizon = 6 * time.Hour

// rest lets a payment's timers fire until none is due before the horizon.
func (s *stage) rest(tenant string, id uuid.UUID) {
	from := s.clock()
	asked := payment.Asked{}
	for range 200 {
		at := s.payments[id].TimerAfter(s.clock(), asked).At
		if at.IsZero() || at.Sub(from) > stageHorizon {
			return
		}
		s.now.Store(max(s.now.Load(), at.UnixNano()))
		maps.DeleteFunc(asked, func(_ string, at time.Time) bool { return !at.After(s.clock()) })
		cmd := messages.Command{ID: "resume", Tenant: tenant, PaymentID: id, Body: &messages.Resume{}}
		for range 20 {
			d := payment.Decide(s.payments[id], cmd, s.env(id, asked))
			s.follow(cmd, d, asked)
			if d.Call == nil {
				break
			}
		}
	}
	s.Fatalf("payment %s does not come to rest: %+v", id, s.payments[id])
}

// tell brings the notification that a card provokes.
func (s *stage) tell(sc *script) {
	p := s.payments[sc.id]
	if p == nil || p.CapturedMinor == 0 || len(p.Disputes) > 0 {
		return
	}
	op := &p.Operations[slices.IndexFunc(p.Operations, func(o payment.Operation) bool { return o.CapturedMinor > 0 })]
	n := &messages.Notify{Gateway: op.Gateway, EventID: "evt_" + op.ID, OperationID: op.ID, AmountMinor: op.CapturedMinor}
	switch {
	case p.PaymentMethod == "pm_card_createDispute" && p.CaptureMethod == messages.CaptureAutomatic:
		n.Kind, n.DisputeID, n.DisputeStatus = messages.NotifyDispute, "dp_"+op.ID, "opened"
	case p.PaymentMethod == "sim_capture_reversed" && p.CaptureMethod == messages.CaptureAutomatic && op.ReversedMinor == 0 && p.RefundedMinor == 0:
		n.Kind = messages.NotifyReversal
	default:
		return
	}
	if s.drops != nil && s.drops(n.Kind) {
		return
	}
	cmd := messages.Command{ID: n.EventID, Tenant: sc.tenant, PaymentID: sc.id, IdempotencyKey: n.EventID, Body: n}
	d := payment.Decide(p, cmd, s.env(sc.id, nil))
	if d.Refusal == nil {
		s.notified++
	}
	s.follow(cmd, d, nil)
}

// verdict judges the record of the stage as Check does with that of a run.
func (s *stage) verdict(drain *Drain) Verdict {
	x := &examination{
		Sources: Sources{Record: &Recorded{Run: s.run, Sent: s.sent, Seen: s.seen}, Drain: drain},
		judge:   newJudge(1000), letters: s.letters, ackedTo: s.sequence,
	}
	x.judgeSent(s.answers)
	x.judgeDrain()
	consult(x.judge, s.evidence)
	return x.verdict()
}
