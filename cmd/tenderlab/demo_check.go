package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// evidence holds the traces of one payment in each place that knows of it.
type evidence struct {
	// payment and history are the event store's; nil and empty if there is no such payment.
	payment *payment.Payment
	history []messages.Event
	// bus holds the events from the bus, in order; letters the dead letters by the sequence of
	// their commands.
	bus     []messages.Event
	letters map[uint64]buried
	// moved and operations are from the gateways' ledgers: the totals by gateway, and the calls by
	// operation.
	moved      map[string]sim.PaymentTotals
	operations []sim.OperationCount
}

// paymentResult is the result of one payment. Amounts are in minor units of Currency.
type paymentResult struct {
	Name      string          `json:"name"`
	PaymentID uuid.UUID       `json:"payment_id"`
	Status    messages.Status `json:"status"`
	Gateway   string          `json:"gateway,omitempty"`
	Currency  string          `json:"currency,omitempty"`
	Exponent  int             `json:"exponent"`

	AuthorizedMinor int64 `json:"amount_authorized_minor"`
	CapturedMinor   int64 `json:"amount_captured_minor"`
	ReleasedMinor   int64 `json:"amount_released_minor"`
	RefundedMinor   int64 `json:"amount_refunded_minor"`
	// CompensatedMinor moved beyond what may be booked and was given back.
	CompensatedMinor int64 `json:"amount_compensated_minor,omitempty"`

	// GatewayCalls counts the requests to the gateways, GatewayEffects their effects: money moved
	// or set aside.
	GatewayCalls   int          `json:"gateway_calls"`
	GatewayEffects int          `json:"gateway_effects"`
	Steps          []stepResult `json:"steps"`
	// Mismatches lists the differences from the scenario.
	Mismatches []string `json:"mismatches"`
}

// stepResult is the result of one command on the bus.
type stepResult struct {
	Asked  string      `json:"asked"`
	Events []happening `json:"events"`
	// DeadLetter is the reason of the command's dead letter, "" if it has none.
	DeadLetter string `json:"dead_letter,omitempty"`
	// Duplicate says that JetStream had stored the same message before.
	Duplicate bool `json:"duplicate,omitempty"`
}

// examination compares the evidence of a payment with its scenario.
type examination struct {
	told  *story
	found evidence
	paymentResult
}

// examine returns the result of a payment with its differences from the scenario.
func examine(told *story, found evidence) paymentResult {
	x := &examination{told: told, found: found, paymentResult: paymentResult{
		Name: told.name, PaymentID: told.paymentID, Status: messages.StatusNone,
		Steps: []stepResult{}, Mismatches: []string{},
	}}
	if p := found.payment; p != nil {
		x.Status, x.Gateway, x.Currency, x.Exponent = p.Status, p.Gateway, p.Currency, p.Exponent
		x.AuthorizedMinor, x.CapturedMinor = p.AuthorizedMinor, p.CapturedMinor
		x.ReleasedMinor, x.RefundedMinor = p.ReleasedMinor, p.RefundedMinor
		for i := range p.Operations {
			x.CompensatedMinor += p.Operations[i].CompensatedMinor
		}
	}
	for _, op := range found.operations {
		x.GatewayCalls += op.Requests + op.Lookups
	}
	for _, moved := range found.moved {
		x.GatewayEffects += moved.Effects
	}
	for i, p := range told.played {
		x.checkStep(i, p)
	}
	x.checkOutcome()
	x.checkBus()
	x.checkGateway()
	return x.paymentResult
}

func (x *examination) mismatch(format string, args ...any) {
	x.Mismatches = append(x.Mismatches, fmt.Sprintf(format, args...))
}

// checkStep compares the events of a command with those that its step expects.
func (x *examination) checkStep(i int, p played) {
	result := stepResult{Asked: p.asked, Events: []happening{}, Duplicate: p.duplicate}
	if !p.again {
		for _, event := range x.found.bus {
			if event.CausationID == p.commandID {
				result.Events = append(result.Events, happened(event))
			}
		}
	}
	letter, dead := x.found.letters[p.sequence]
	result.DeadLetter = letter.reason
	x.Steps = append(x.Steps, result)

	where := fmt.Sprintf("step %d (%s)", i+1, p.asked)
	if p.unanswered {
		x.mismatch("%s: no answer within %s", where, answerTimeout)
	}
	if p.duplicate != p.again {
		x.mismatch("%s: JetStream calls it a duplicate: %t, expected %t", where, p.duplicate, p.again)
	}
	if !slices.Equal(result.Events, p.events) {
		x.mismatch("%s: events are %s, expected %s", where, listed(result.Events), listed(p.events))
	}
	switch {
	case p.letter == "" && dead:
		x.mismatch("%s: became a dead letter (%s: %s)", where, letter.reason, letter.detail)
	case p.letter != "" && letter.reason != string(p.letter):
		x.mismatch("%s: the reason of its dead letter is %q, expected %q", where, letter.reason, p.letter)
	case messages.ContainsCardNumber(letter.body):
		x.mismatch("%s: its dead letter shows a card number", where)
	}
}

// checkOutcome compares the state of the payment with the expected one.
func (x *examination) checkOutcome() {
	want := x.told.want
	if x.Status != want.status {
		x.mismatch("status is %s, expected %s", x.Status, want.status)
	}
	for _, amount := range []struct {
		name      string
		got, want int64
	}{
		{"authorized", x.AuthorizedMinor, want.authorized},
		{"captured", x.CapturedMinor, want.captured},
		{"released", x.ReleasedMinor, want.released},
		{"refunded", x.RefundedMinor, want.refunded},
		{"compensated", x.CompensatedMinor, want.compensated},
	} {
		if amount.got != amount.want {
			x.mismatch("%s is %d minor units, expected %d", amount.name, amount.got, amount.want)
		}
	}
}

// checkBus compares the published events with the history, and finds events that no command caused.
func (x *examination) checkBus() {
	var recorded, seen []string
	for _, event := range x.found.history {
		if event.Type().Published() {
			recorded = append(recorded, messages.EventMessageID(event)+" "+string(event.Type()))
		}
	}
	accounted := 0
	for _, event := range x.found.bus {
		seen = append(seen, messages.EventMessageID(event)+" "+string(event.Type()))
		if slices.ContainsFunc(x.told.played, func(p played) bool { return p.commandID == event.CausationID }) {
			accounted++
		}
	}
	if !slices.Equal(recorded, seen) {
		x.mismatch("the bus brought %s, the history holds %s", listed(seen), listed(recorded))
	}
	if strays := len(seen) - accounted; strays > 0 {
		x.mismatch("%d events on the bus were caused by none of the commands", strays)
	}
}

// checkGateway compares the gateways' ledgers with the payment: one gateway did all of it.
func (x *examination) checkGateway() {
	at := cmp.Or(x.told.want.at, demoFirst)
	if got := x.GatewayEffects; got != x.told.want.effects {
		x.mismatch("the gateway acted %d times, expected %d", got, x.told.want.effects)
	}
	if x.Gateway != at && x.found.payment != nil {
		x.mismatch("the payment is recorded at the gateway %s, expected %s", x.Gateway, at)
	}
	for name, moved := range x.found.moved {
		if name != at && moved.Effects > 0 {
			x.mismatch("the gateway %s acted %d times, expected that %s does it all", name, moved.Effects, at)
		}
	}
	for _, op := range x.found.operations {
		if op.Effects > 1 {
			x.mismatch("operation %s took effect %d times at the gateway", op.OperationID, op.Effects)
		}
	}
	moved := x.found.moved[at]
	// The gateways captured what was compensated, and refunded it.
	given := x.CompensatedMinor
	ours := [...]int64{x.AuthorizedMinor, x.CapturedMinor + given, x.ReleasedMinor - given, x.RefundedMinor + given}
	theirs := [...]int64{moved.AuthorizedMinor, moved.CapturedMinor, moved.ReleasedMinor, moved.RefundedMinor}
	if ours != theirs {
		x.mismatch("authorized, captured, released and refunded are %v here and %v in the gateway's ledger", ours, theirs)
	}
}
