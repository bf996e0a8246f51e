package payment_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// truth is a gateway that is idempotent by operation and checks no limit of its own: every call
// that Tender lets through, it does. So its books show what Tender's reservations are worth.
type truth struct {
	answers                                  map[string]messages.Outcome
	authorized, captured, refunded, released int64
}

// perform makes an operation once; asked again, it gives the first answer.
func (g *truth) perform(t *rapid.T, op messages.Operation) messages.Outcome {
	if o, done := g.answers[op.ID]; done {
		return o
	}
	outcomes := []messages.Outcome{succeeded(), succeeded(), succeeded(), declined(messages.DeclineSoft), declined(messages.DeclineNeverRetry)}
	if op.Kind == messages.OperationAuthorize {
		outcomes = append(outcomes, requiresAction())
	}
	o := rapid.SampledFrom(outcomes).Draw(t, "outcome")
	g.answers[op.ID] = o
	if o.Kind == messages.OutcomeSucceeded {
		g.book(op)
	}
	return o
}

func (g *truth) book(op messages.Operation) {
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		g.authorized += op.AmountMinor
		if op.Capture {
			g.captured += op.AmountMinor
		}
	case messages.OperationCapture:
		g.captured += op.AmountMinor
		if op.Final {
			g.released = g.authorized - g.captured
		}
	case messages.OperationVoid:
		g.released += op.AmountMinor
	case messages.OperationRefund:
		g.refunded += op.AmountMinor
	}
}

// flight is a call under way, and the command it was made for.
type flight struct {
	cmd  messages.Command
	call payment.Call
}

// machine drives one payment through random commands, answers, losses, crashes and passing time.
type machine struct {
	*world
	gateway truth
	flights []flight
	// delivered are commands that a crash may deliver again, with the operation each started.
	delivered map[string]messages.Command
}

func newMachine(t *rapid.T) *machine {
	m := &machine{world: newWorld(t), delivered: map[string]messages.Command{}}
	m.gateway.answers = map[string]messages.Outcome{}
	m.route.Fallbacks = []string{"second", "third"}[:rapid.IntRange(0, 2).Draw(t, "fallbacks")]
	m.route.FailoverOnDecline = rapid.Bool().Draw(t, "failover_on_decline")
	body := create(rapid.SampledFrom([]messages.CaptureMethod{
		messages.CaptureAutomatic, messages.CaptureManual, messages.CaptureManualMultiple,
	}).Draw(t, "capture_method"))
	if rapid.Bool().Draw(t, "retry") {
		body.Retry = &messages.Retry{MaxAttempts: 4, Until: start.Add(1000 * time.Hour)}
	}
	m.take(m.do(body))
	return m
}

// take notes the call that a decision asks for.
func (m *machine) take(d payment.Decision) {
	if d.Call != nil {
		m.flights = append(m.flights, flight{m.last, *d.Call})
		m.delivered[d.Call.Operation.ID] = m.last
	}
}

func (m *machine) Command(t *rapid.T) {
	amount := rapid.Int64Range(1, 10000)
	bodies := []messages.CommandBody{
		&messages.Confirm{}, &messages.Confirm{PaymentMethod: "pm_other"}, &messages.Void{},
		&messages.Capture{}, &messages.Refund{},
		&messages.Capture{AmountMinor: minor(amount.Draw(t, "capture")), Final: rapid.Bool().Draw(t, "final")},
		&messages.Refund{AmountMinor: minor(amount.Draw(t, "refund"))},
	}
	m.take(m.do(rapid.SampledFrom(bodies).Draw(t, "command")))
}

// Answer lets one call end: with its answer, or with the answer lost, or with the request never
// sent.
func (m *machine) Answer(t *rapid.T) {
	if len(m.flights) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.flights)-1).Draw(t, "flight")
	f := m.flights[i]
	m.flights = append(m.flights[:i], m.flights[i+1:]...)
	m.land(t, f, rapid.SampledFrom([]string{"answered", "answered", "answer lost", "request lost", "not sent", "crash before", "crash after"}).Draw(t, "fate"))
}

func (m *machine) land(t *rapid.T, f flight, fate string) {
	outcome := unknown()
	switch fate {
	case "answered":
		outcome = m.ask(t, f.call)
	case "answer lost":
		m.ask(t, f.call)
	case "not sent":
		outcome = notSent()
	case "crash after":
		m.ask(t, f.call)
		return
	case "crash before":
		return
	}
	m.last, outcome.Tries = f.cmd, 1
	m.take(m.commit(payment.Settle(m.p, f.cmd, f.call, outcome, m.env())))
}

func (m *machine) ask(t *rapid.T, c payment.Call) messages.Outcome {
	if !c.Lookup {
		return m.gateway.perform(t, c.Operation)
	}
	if o, done := m.gateway.answers[c.Operation.ID]; done {
		return o
	}
	return messages.Outcome{Kind: messages.OutcomeNotFound}
}

// Redeliver hands a command that started an operation over once more, as after a crash.
func (m *machine) Redeliver(t *rapid.T) {
	if len(m.p.Operations) == 0 {
		return
	}
	id := m.p.Operations[rapid.IntRange(0, len(m.p.Operations)-1).Draw(t, "operation")].ID
	m.last = m.delivered[id]
	m.take(m.commit(payment.Continue(m.p, m.last, id, m.env())))
}

// Notify delivers what the gateway has to say about an operation of its own accord: late, twice, or
// before the answer.
func (m *machine) Notify(t *rapid.T) {
	if len(m.p.Operations) == 0 {
		return
	}
	op := m.p.Operations[rapid.IntRange(0, len(m.p.Operations)-1).Draw(t, "operation")]
	o, done := m.gateway.answers[op.ID]
	if !done {
		return
	}
	n := &messages.Notify{Gateway: op.Gateway, EventID: "evt", Kind: messages.NotifyOutcome, OperationID: op.ID, Outcome: o.Kind, GatewayReference: o.GatewayReference}
	if o.Decline != nil {
		n.DeclineCode, n.DeclineClass = o.Decline.Code, o.Decline.Class
	}
	if o.NextAction != nil {
		n.NextActionType, n.NextActionURL = o.NextAction.Type, o.NextAction.URL
	}
	m.take(m.do(n))
}

// Wait lets time pass, as far as the next timer or only a little, and does what is due then.
func (m *machine) Wait(t *rapid.T) {
	if due := m.p.DueAt(m.now); !due.IsZero() && due.After(m.now) && rapid.Bool().Draw(t, "until due") {
		m.now = due
	} else {
		m.pass(time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second)
	}
	m.take(m.do(&messages.Resume{}))
}

// Check is run after every step. Reservations must have held at the gateway, also before it has
// told us.
func (m *machine) Check(t *rapid.T) {
	g := &m.gateway
	if g.authorized > m.p.AmountMinor || g.captured > g.authorized || g.refunded > g.captured {
		t.Fatalf("the gateway moved too much: %+v", g)
	}
	if m.p.CapturableMinor() < 0 || m.p.RefundableMinor() < 0 {
		t.Fatalf("over-reserved: capturable %d, refundable %d", m.p.CapturableMinor(), m.p.RefundableMinor())
	}
	data, err := json.Marshal(m.p)
	if err != nil {
		t.Fatal(err)
	}
	var back payment.Payment
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.p, &back); diff != "" {
		t.Fatalf("the state does not survive being stored:\n%s", diff)
	}
}

// quiesce ends the faults: every call is answered and every timer fires until nothing is due any
// more.
func (m *machine) quiesce(t *rapid.T) {
	for range 200 {
		for len(m.flights) > 0 {
			f := m.flights[0]
			m.flights = m.flights[1:]
			m.land(t, f, "answered")
		}
		due := m.p.DueAt(m.now)
		if due.IsZero() {
			due = m.stale()
		}
		if due.IsZero() {
			return
		}
		if due.After(m.now) {
			m.now = due
		}
		m.take(m.do(&messages.Resume{}))
	}
	t.Fatalf("not at rest after 200 rounds: %s", m.p.Status)
}

// stale is the age at which an abandoned operation is taken up.
func (m *machine) stale() time.Time {
	for _, op := range m.p.Operations {
		if op.Status == payment.OperationSent {
			return op.SentAt.Add(m.policy.SentStale)
		}
	}
	return time.Time{}
}

// TestMoneyIsSafeUnderAnyInterleaving is items 1, 3, 4, 5 and 7 of ARCHITECTURE.md's promises, for
// one payment.
func TestMoneyIsSafeUnderAnyInterleaving(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(rapid.StateMachineActions(m))
		m.quiesce(t)
		m.Check(t)
		if m.p.Status == messages.StatusReview {
			return // a person has the last word, and nothing was guessed meanwhile
		}
		g, p := m.gateway, m.p
		if p.CapturedMinor != g.captured || p.RefundedMinor != g.refunded || p.AuthorizedMinor != g.authorized {
			t.Fatalf("the books differ: Tender has authorized %d, captured %d, refunded %d; the gateway %+v",
				p.AuthorizedMinor, p.CapturedMinor, p.RefundedMinor, g)
		}
	})
}
