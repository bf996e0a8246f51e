package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// soundStory is a payment that was captured at once, whose create was then sent again, and the
// evidence for it.
func soundStory() (*story, evidence) {
	id := uuid.MustParse("0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10")
	create := step{asked: "create", events: createdAnd(messages.EventPaymentCaptured)}
	again := step{asked: "again", again: true}
	told := &story{
		scenario: scenario{
			name: "sound", steps: []step{create, again},
			want: expected{status: messages.StatusCaptured, authorized: 1000, captured: 1000, effects: 1},
		},
		paymentID: id,
		played: []played{
			{step: create, paymentID: id, command: messages.CommandCreate, commandID: "c1", sequence: 1},
			{step: again, paymentID: id, command: messages.CommandCreate, commandID: "c1", sequence: 1, duplicate: true},
		},
	}
	var bus []messages.Event
	for i, data := range []messages.EventData{&messages.PaymentCreated{}, &messages.PaymentRouted{}, &messages.PaymentCaptured{Attempt: messages.Attempt{Tries: 1}}} {
		bus = append(bus, messages.Event{PaymentID: id, Version: int64(i) + 1, CausationID: "c1", Data: data})
	}
	unpublished := messages.Event{PaymentID: id, Version: 4, CausationID: "c1", Data: &messages.OperationChecked{}}
	return told, evidence{
		payment: &payment.Payment{
			ID: id, Status: messages.StatusCaptured, Currency: "USD", Exponent: 2, AuthorizedMinor: 1000, CapturedMinor: 1000,
			Gateway: demoFirst,
		},
		history: append(slices.Clone(bus), unpublished),
		bus:     bus,
		letters: map[uint64]buried{},
		moved:   map[string]sim.PaymentTotals{demoFirst: {PaymentID: id, AuthorizedMinor: 1000, CapturedMinor: 1000, Effects: 1}},
		operations: []sim.OperationCount{
			{OperationID: "o1", PaymentID: id, Requests: 2, Lookups: 1, Effects: 1},
		},
	}
}

func TestExamineAcceptsASoundStory(t *testing.T) {
	t.Parallel()
	got := examine(soundStory())
	if len(got.Mismatches) > 0 || got.GatewayCalls != 3 || got.GatewayEffects != 1 || len(got.Steps) != 2 || !got.Steps[1].Duplicate {
		t.Errorf("%+v", got)
	}
}

func TestExamineFindsEveryFault(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		tamper func(*story, *evidence)
		want   string
	}{
		"no such payment": {
			func(_ *story, e *evidence) { e.payment, e.history = nil, nil },
			"status is none, expected captured",
		},
		"an event that was not published": {
			func(_ *story, e *evidence) { e.bus = e.bus[:2] },
			"events are [created routed], expected [created routed captured]",
		},
		"an event that is not in the history": {
			func(_ *story, e *evidence) { e.history = e.history[:2] },
			"the history holds",
		},
		"events out of order": {
			func(_ *story, e *evidence) { e.bus = []messages.Event{e.bus[1], e.bus[0], e.bus[2]} },
			"events are [routed created captured]",
		},
		"an event without a cause": {
			func(_ *story, e *evidence) {
				stray := messages.Event{PaymentID: e.bus[0].PaymentID, Version: 5, CausationID: "c9", Data: &messages.PaymentVoided{}}
				e.bus, e.history = append(e.bus, stray), append(e.history, stray)
			},
			"1 events on the bus were caused by none of the commands",
		},
		"no answer":         {func(s *story, _ *evidence) { s.played[0].unanswered = true }, "no answer within"},
		"not a duplicate":   {func(s *story, _ *evidence) { s.played[1].duplicate = false }, "a duplicate: false, expected true"},
		"a duplicate":       {func(s *story, _ *evidence) { s.played[0].duplicate = true }, "a duplicate: true, expected false"},
		"charged twice":     {func(_ *story, e *evidence) { e.operations[0].Effects = 2 }, "operation o1 took effect 2 times"},
		"charged once more": {func(_ *story, e *evidence) { e.moved[demoFirst] = sim.PaymentTotals{Effects: 2} }, "the gateway acted 2 times, expected 1"},
		"another amount":    {func(_ *story, e *evidence) { e.moved[demoFirst] = sim.PaymentTotals{CapturedMinor: 999} }, "in the gateway's ledger"},
		"charged elsewhere": {
			func(_ *story, e *evidence) { e.moved = map[string]sim.PaymentTotals{demoSecond: e.moved[demoFirst]} },
			"the gateway second acted 1 times, expected that simulator does it all",
		},
		"charged here and elsewhere": {
			func(_ *story, e *evidence) { e.moved[demoSecond] = e.moved[demoFirst] },
			"the gateway acted 2 times, expected 1",
		},
		"routed elsewhere": {
			func(_ *story, e *evidence) { e.payment.Gateway = demoSecond },
			"the payment is recorded at the gateway second, expected simulator",
		},
		"failed over": {
			func(_ *story, e *evidence) { e.bus[1].Data = &messages.PaymentRouted{Reason: messages.FailoverNotSent} },
			"events are [created routed again: not_sent captured], expected [created routed captured]",
		},
		"told by webhook": {
			func(_ *story, e *evidence) { e.bus[2].Data = &messages.PaymentCaptured{} },
			"events are [created routed captured by webhook], expected [created routed captured]",
		},
		"released something": {func(_ *story, e *evidence) { e.payment.ReleasedMinor = 1 }, "released is 1 minor units, expected 0"},
		"a dead letter": {
			func(_ *story, e *evidence) { e.letters[1] = buried{reason: "invalid_json", detail: "body is not JSON"} },
			"became a dead letter (invalid_json: body is not JSON)",
		},
		"no dead letter": {
			func(s *story, _ *evidence) { s.played[0].letter = messages.CodeInvalidJSON },
			`the reason of its dead letter is "", expected "invalid_json"`,
		},
		"a card number": {
			func(s *story, e *evidence) {
				s.played[0].letter = messages.CodeCardNumberPresent
				e.letters[1] = buried{reason: "card_number_present", body: []byte("4242 4242 4242 4242")}
			},
			"its dead letter shows a card number",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told, found := soundStory()
			tt.tamper(told, &found)
			got := examine(told, found)
			if !slices.ContainsFunc(got.Mismatches, func(m string) bool { return strings.Contains(m, tt.want) }) {
				t.Errorf("nothing says %q: %q", tt.want, got.Mismatches)
			}
		})
	}
}

func TestAuditGatewayFindsUnknownPayments(t *testing.T) {
	t.Parallel()
	told, found := soundStory()
	books := func(stories ...*story) gatewayBooks {
		return auditGateway(ledger{demoFirst, sim.Snapshot{Operations: found.operations}}, stories)
	}
	if b := books(told); b.unsound() || b.Calls != 3 || b.Name != demoFirst {
		t.Errorf("%+v", b)
	}
	if b := books(); !b.unsound() {
		t.Errorf("a payment of no story: %+v", b)
	}
	found.operations[0].Effects = 2
	if b := books(told); !b.unsound() || b.Twice != 1 {
		t.Errorf("an operation that took effect twice: %+v", b)
	}
}

func TestPrintPaymentsPutsResultsNextToCommands(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10")
	alike := paymentResult{
		Name: "alike", Status: messages.StatusCaptured, GatewayCalls: 2,
		Steps: []stepResult{{Asked: "pay", Events: emitted(messages.EventPaymentParked)}},
	}
	odd := alike
	odd.Status, odd.Mismatches = messages.StatusFailed, []string{"x"}
	var b strings.Builder
	printPayments(&b, []paymentResult{
		{
			Name: "in doubt", PaymentID: id, Status: messages.StatusCaptured, Exponent: 2, AuthorizedMinor: 7500, CapturedMinor: 7500,
			GatewayCalls: 12,
			Steps: []stepResult{
				{Asked: "create", Events: createdAnd(messages.EventPaymentOutcomeUnknown, messages.EventPaymentOutcomeResolved)},
				{Asked: "again", Duplicate: true},
				{Asked: "once more"},
				{Asked: "refund", Events: refusedWith(messages.RejectNothingToRefund)},
			},
		},
		{
			Name: "rubbish", PaymentID: id, Status: messages.StatusNone, Mismatches: []string{"x"},
			Steps: []stepResult{{Asked: "?", DeadLetter: "invalid_json"}},
		},
		alike, odd, alike,
	}, "ok", "NO")
	want := `
    PAYMENT      ASKED      STATUS, AMOUNTS      CALLS  EVENTS
ok  in doubt     create     captured                12  created, routed, outcome_unknown,
    ...6c2a9b10             authorized    75.00         outcome_resolved
                 again      captured      75.00         dropped by JetStream
                 once more                              nothing more
                 refund                                 refused: nothing_to_refund
NO  rubbish      ?          no payment               0  dead letter: invalid_json
    ...6c2a9b10
NO  alike        pay        failed                   6  parked
    3 payments
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

func TestRecentLinesKeepsTheEnd(t *testing.T) {
	t.Parallel()
	recent := &recentLines{max: 2}
	for _, text := range []string{"one\n", "two\nthree\n", "four\n"} {
		if n, err := recent.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	var b strings.Builder
	recent.show(&b)
	if b.String() != "  three\n  four\n" {
		t.Errorf("%q", b.String())
	}
}
