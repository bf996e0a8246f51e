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
	"github.com/seed-384b1f8a/tender/processor/deadletter"
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
		if step.resolves {
			operation := ""
			for _, r := range s.reviews {
				if r.paymentID == sc.id {
					operation = r.operation
				}
			}
			if operation == "" {
				return
			}
			step.planned = sc.resolution(operation)
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
		s.tell(sc, step)
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
func (s *stage) tell(sc *script, step *step) {
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

// A record of what the code under test does today is green: no plan's oracle asks for another end,
// and no refusal is left that nothing justifies.
func TestOursGoodRecordIsGreen(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		s := newStage(t)
		s.run.Seed = seed
		s.perform()
		v := s.verdict(&Drain{Done: true})
		if !v.OK {
			t.Errorf("seed %d: %s", seed, findings(&v))
		}
		if v.Figures.DeadLetters == 0 || v.Figures.RefusedAsPlanned == 0 || v.Figures.RefusedForOrder == 0 || v.Figures.DuplicatesAbsorbed == 0 {
			t.Errorf("seed %d: the plans ask for too little: %+v", seed, v.Figures)
		}
	}
}

func findings(v *Verdict) string {
	var text strings.Builder
	for _, item := range v.Items {
		for i, f := range item.Findings {
			if i < 10 {
				text.WriteString("\n" + string(item.Name) + ": " + f.PaymentID.String() + ": " + f.Detail)
			}
		}
	}
	return text.String()
}

// mutant is a defect, and what the verdict must say about it.
type mutant struct {
	// before is the defect of the code under test, after one of what it left behind.
	before, after func(*stage)
	drain         Drain
	item          ItemName
	says          string
}

func is(names ...messages.CommandName) func(messages.CommandName) bool {
	return func(name messages.CommandName) bool { return slices.Contains(names, name) }
}

func mutants() map[string]mutant {
	done := Drain{Done: true}
	return map[string]mutant{
		"refuses every capture and void": {
			before: func(s *stage) { s.refuses = is(messages.CommandCapture, messages.CommandVoid) }, drain: done,
			item: AsPlanned, says: "capture commands that the plans ask for, 0 were accepted",
		},
		"refuses every void": {
			before: func(s *stage) { s.refuses = is(messages.CommandVoid) }, drain: done,
			item: AsPlanned, says: "was refused as invalid_state; nothing in the plan",
		},
		"makes every refund a dead letter": {
			before: func(s *stage) { s.buries = is(messages.CommandRefund) }, drain: done,
			item: NeverLost, says: "is a dead letter for deliveries_exhausted: no plan asks for that",
		},
		"reviews every unknown": {
			before: func(s *stage) { s.policy.UnknownReplays, s.policy.UnknownLookups = nil, nil }, drain: done,
			item: AsPlanned, says: "it is in review for outcome_unknown, and the plan has no reason for one",
		},
		"reviews every unknown while a gateway is down": {
			before: func(s *stage) {
				s.policy.UnknownReplays, s.policy.UnknownLookups = nil, nil
				s.faults = []Injection{{Name: "gateway-down", At: s.clock(), Lasting: time.Hour}}
			}, drain: done,
			item: AsPlanned, says: "it is in review for outcome_unknown, and the plan has no reason for one",
		},
		"drops every dispute": {
			before: func(s *stage) {
				s.drops = func(kind messages.NotifyKind) bool { return kind == messages.NotifyDispute }
			}, drain: done,
			item: AsPlanned, says: "disputes that the plans provoke, 0 are recorded",
		},
		"drops every reversal": {
			before: func(s *stage) {
				s.drops = func(kind messages.NotifyKind) bool { return kind == messages.NotifyReversal }
			}, drain: done,
			item: AsPlanned, says: "the plan (sim_capture_reversed, automatic) ends otherwise: it is captured, not failed",
		},
		"does not retry soft declines": {
			before: func(s *stage) { s.policy.SoftRetries = nil }, drain: done,
			item: AsPlanned, says: "times and is not tried again, though the producer asked for 3 attempts",
		},
		"accepts everything again": {
			after: func(s *stage) {
				for at, a := range s.answers {
					a.event = messages.EventPaymentCreated
					s.answers[at] = a
				}
			}, drain: done,
			item: AsPlanned, says: "was accepted; the plan",
		},
		"charges a second time": {
			after: func(s *stage) {
				s.alterLedger(func(l *audit.Ledger, e audit.LedgerEntry) { l.Entries = append(l.Entries, e) })
			}, drain: done,
			item: NeverTwice, says: "the gateways authorized ",
		},
		"charges a minor unit less than it records": {
			after: func(s *stage) {
				s.alterLedger(func(l *audit.Ledger, e audit.LedgerEntry) {
					l.Entries[slices.Index(l.Entries, e)].CapturedMinor--
				})
			}, drain: done,
			item: AsPlanned, says: "by the gateways' ledgers ",
		},
		"loses a command": {
			after: func(s *stage) {
				q := s.good().question()
				delete(s.answers, q.slot())
			}, drain: done,
			item: NeverLost, says: "it was acknowledged and has no outcome",
		},
		"loses a payment": {
			after: func(s *stage) { delete(s.payments, s.good().PaymentID) }, drain: done,
			item: AsPlanned, says: "it is none, not captured",
		},
		"throws a dead letter away": {
			after: func(s *stage) { clear(s.letters) }, drain: done,
			item: NeverLost, says: "it is unreadable, and is no dead letter",
		},
		"calls an unknown charge failed": {
			after: func(s *stage) {
				p := s.payments[s.good().PaymentID]
				p.Status, p.AuthorizedMinor, p.CapturedMinor = messages.StatusFailed, 0, 0
			}, drain: done,
			item: UnknownIsNotFailed, says: "it is failed, not captured",
		},
		"refunds more than was captured": {
			after: func(s *stage) {
				p := s.payments[s.good().PaymentID]
				p.RefundedMinor = p.CapturedMinor + 1
			}, drain: done,
			item: WithinLimits, says: "refunded of a plan for",
		},
		"forgets the end of a history": {
			after: func(s *stage) { s.payments[s.good().PaymentID].Version-- }, drain: done,
			item: History, says: "and the history ends at",
		},
		"leaves an operation open": {
			after: func(s *stage) { s.payments[s.good().PaymentID].Operations[0].Status = payment.OperationUnknown }, drain: done,
			item: Liveness, says: "is still unknown when all is at rest",
		},
		"does not come to rest": {
			drain: Drain{Hanging: []string{"3 commands that no worker has taken"}},
			item:  Liveness, says: "3 commands that no worker has taken",
		},
	}
}

// good returns the first create of a plan that is captured at once, and waits for no more.
func (s *stage) good() *Sent {
	s.Helper()
	for i := range s.sent {
		sent := &s.sent[i]
		p := s.payments[sent.PaymentID]
		if made := s.plan().script(sent.Number / numbersEach); sent.Command == messages.CommandCreate && !made.impatient && p != nil && p.Status == messages.StatusCaptured && p.PaymentMethod == goodCard && len(p.Operations) == 1 {
			return sent
		}
	}
	s.Fatal("no plan is captured at once")
	return nil
}

// alterLedger changes the charge of a payment in the ledger of its gateway.
func (s *stage) alterLedger(change func(*audit.Ledger, audit.LedgerEntry)) {
	s.Helper()
	id := s.good().PaymentID
	for name, ledger := range s.ledgers {
		for _, e := range ledger.Entries {
			if e.PaymentID == id {
				change(&ledger, e)
				s.ledgers[name] = ledger
				return
			}
		}
	}
	s.Fatalf("no gateway charged payment %s", id)
}

// Each mutant of the code under test turns the verdict red under its invariant, with words that
// name what is wrong. What only servers show, the stream and the stored history, TestTamperingIsFound
// breaks.
func TestOursJudgeFindsMutants(t *testing.T) {
	t.Parallel()
	for name, m := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			if m.before != nil {
				m.before(s)
			}
			s.perform()
			if m.after != nil {
				m.after(s)
			}
			v := s.verdict(&m.drain)
			if v.OK || !slices.ContainsFunc(v.Item(m.item).Findings, func(f Finding) bool { return strings.Contains(f.Detail, m.says) }) {
				t.Errorf("no finding of %s says %q: %s", m.item, m.says, findings(&v))
			}
		})
	}
}

// An outcome that stayed unknown for the whole ladder may go to a person, but only while a fault
// kept its gateway from answering.
func TestOursUnknownThatOutlivesTheLadderIsExcused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.perform()
	sent := s.good()
	p := s.payments[sent.PaymentID]
	p.Status, p.Operations[0].Status = messages.StatusReview, payment.OperationManualReview
	since := s.clock()
	s.reviews = append(s.reviews, review{p.ID, p.Operations[0].ID, messages.ReviewUnknown, since, since.Add(s.ladder)})
	if v := s.verdict(&Drain{Done: true}); v.OK {
		t.Error("without a fault nothing excuses the review")
	}
	s.faults = []Injection{{Name: "gateway-hangs", At: since.Add(time.Second), Lasting: 2 * time.Second}}
	if v := s.verdict(&Drain{Done: true}); !v.OK || v.Figures.Excused != 1 {
		t.Errorf("%d excused: %s", v.Figures.Excused, findings(&v))
	}
	s.reviews[len(s.reviews)-1].opened = since.Add(s.ladder / 2)
	if v := s.verdict(&Drain{Done: true}); v.OK {
		t.Error("a review that came before its time is not excused")
	}
}

// Commands that a fault took before a worker read them are listed apart: those that aged out only
// if a dead letter reports them, those of a damaged disk from the record of their producers. Without
// such a fault they are lost.
func TestOursVanishedCommandsAreListedApart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.perform()
	sent := s.good()
	// Its plan had gone no further.
	s.sent = slices.DeleteFunc(s.sent, func(other Sent) bool {
		return other.Number/numbersEach == sent.Number/numbersEach && other.Number != sent.Number || other.Number == sent.Number && other.Copy != ""
	})
	sent = s.good()
	delete(s.answers, sent.question().slot())
	delete(s.payments, sent.PaymentID)
	for name, ledger := range s.ledgers {
		ledger.Entries = slices.DeleteFunc(ledger.Entries, func(e audit.LedgerEntry) bool { return e.PaymentID == sent.PaymentID })
		s.ledgers[name] = ledger
	}
	judged := func(faults []Injection, aged ...stretch) Verdict {
		x := &examination{
			Sources: Sources{Record: &Recorded{Run: s.run, Sent: s.sent, Seen: s.seen}, Faults: faults},
			judge:   newJudge(100), letters: s.letters, ackedTo: s.sequence, aged: aged,
		}
		x.judgeSent(s.answers)
		e := s.evidence
		e.faults, e.gone = faults, x.gone
		consult(x.judge, e)
		return x.verdict()
	}
	at := s.clock().Add(time.Hour)
	if v := judged(nil); v.OK || v.Item(NeverLost).Violated != 1 {
		t.Errorf("without a fault: %s", findings(&v))
	}
	if v := judged([]Injection{{Name: faultAged, At: at}}); v.OK || v.Item(NeverLost).Violated != 1 {
		t.Errorf("aged out without a word: %s", findings(&v))
	}
	if v := judged(nil, stretch{1, s.sequence}); v.OK {
		t.Error("commands may not age out by themselves")
	}
	if v := judged([]Injection{{Name: faultAged, At: at}}, stretch{sent.Sequence, sent.Sequence + 2}); !v.OK || v.Figures.AgedOut != 1 {
		t.Errorf("aged out and reported: %s", findings(&v))
	}
	if v := judged([]Injection{{Name: faultDisk, At: at, Lasting: time.Second}}); !v.OK || v.Figures.LostWithStream != 1 || len(v.Lost) != 1 {
		t.Errorf("lost with a disk: %s", findings(&v))
	}
}

func TestOursLettersOfVanishedCommandsAreRead(t *testing.T) {
	t.Parallel()
	letter := func(stream, subject, reason, detail string) *deadletter.Letter {
		return &deadletter.Letter{Stream: stream, OriginalSubject: subject, Reason: reason, Detail: detail, StreamSequence: 7}
	}
	for name, row := range map[string]struct {
		letter *deadletter.Letter
		want   stretch
		is     bool
	}{
		"a stretch": {
			letter(messages.StreamCommands, "", deadletter.ReasonAgedOut, "commands 7 to 12 left the stream before any worker was given them"), stretch{7, 12}, true,
		},
		"one that was handed back": {letter(messages.StreamCommands, "", deadletter.ReasonTerminated, "gone"), stretch{7, 7}, true},
		"one that is there":        {letter(messages.StreamCommands, "payments.cmd.acme.create.x", deadletter.ReasonTerminated, ""), stretch{}, false},
		"of a webhook":             {letter("", "", deadletter.ReasonWebhookUnusable, ""), stretch{}, false},
	} {
		if got, is := stretchOf(row.letter); got != row.want || is != row.is {
			t.Errorf("%s: %+v, %t", name, got, is)
		}
	}
}
