package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// scenario is the script of one payment: its commands, and their expected results.
type scenario struct {
	name string
	// times counts the payments that play this script at once; 0 is one.
	times int
	steps []step
	want  expected
}

// act is a part of the demo: its steps are taken when the acts before it are over.
type act int

const (
	// actUp has every gateway working.
	actUp act = iota
	// actDown begins when no server listens any more at the address of the first gateway.
	actDown
	// actBack begins when it listens again, and ends when every parked command has its answer.
	actBack
	// actAfter begins when no breaker is open any more.
	actAfter
)

// step is one command and its expected events.
type step struct {
	// asked describes the command for people.
	asked string
	// body is a command for the client to publish; raw is published as it stands instead.
	body messages.CommandBody
	raw  *rawCommand
	// key is shared by the commands of a payment with one idempotency key; "" is a key for this
	// command alone.
	key string
	// again publishes the message of the step before once more, as a producer does without an
	// acknowledgement.
	again bool
	// act is the act in which the step is taken.
	act act
	// parks says that the command is parked in its act, and has its answer in the next.
	parks bool

	// events are the events that the command causes, in order.
	events []happening
	// letter is the reason of the dead letter that the command becomes instead.
	letter messages.DecodeCode
}

// rawCommand is a message as any program may put it on the bus: a subject, a message id and bytes.
type rawCommand struct {
	verb string
	body string
}

// happening is an event: its type, and the details that the script checks.
type happening struct {
	Type messages.EventType `json:"type"`
	// Code is that of a refusal.
	Code messages.RejectionCode `json:"code,omitempty"`
	// Reason is the reason for which a payment was routed again.
	Reason string `json:"reason,omitempty"`
	// Webhook says that a capture was recorded from the gateway's webhook, without an answer.
	Webhook bool `json:"by_webhook,omitempty"`
}

// expected is the expected end of a payment. Amounts are in minor units.
type expected struct {
	// status is none if there must be no payment.
	status                                   messages.Status
	authorized, captured, released, refunded int64
	// compensated is the amount that moved beyond the others and was given back.
	compensated int64
	// effects counts the times that the gateway must have moved money or set it aside, over all
	// operations.
	effects int
	// at is the gateway that must have done all of them; "" is the first.
	at string
}

func emitted(kinds ...messages.EventType) []happening {
	wanted := make([]happening, len(kinds))
	for i, kind := range kinds {
		wanted[i].Type = kind
	}
	return wanted
}

func refusedWith(code messages.RejectionCode) []happening {
	return []happening{{Type: messages.EventCommandRejected, Code: code}}
}

// happened reduces an event to the details that the script checks.
func happened(e messages.Event) happening {
	h := happening{Type: e.Type()}
	switch d := e.Data.(type) {
	case *messages.CommandRejected:
		h.Code = d.Code
	case *messages.PaymentRouted:
		h.Reason = d.Reason
	case *messages.PaymentCaptured:
		h.Webhook = d.Tries == 0
	}
	return h
}

// String describes it, in short if the object is the payment itself.
func (h happening) String() string {
	switch {
	case h.Type == messages.EventCommandRejected:
		return "refused: " + string(h.Code)
	case h.Reason != "":
		return "routed again: " + h.Reason
	case h.Webhook:
		return "captured by webhook"
	default:
		return strings.TrimPrefix(string(h.Type), "payment.")
	}
}

// listed formats several things for a sentence.
func listed[T any](things []T) string {
	if len(things) == 0 {
		return "none"
	}
	return fmt.Sprint(things)
}

// played is a step that was taken.
type played struct {
	step
	paymentID uuid.UUID
	command   messages.CommandName
	commandID string
	// sequence is the command's in its stream. duplicate says that the stream had the message
	// already.
	sequence  uint64
	duplicate bool
	// unanswered says that no answer came in time.
	unanswered bool
}

// story is a payment that plays a scenario.
type story struct {
	scenario
	paymentID uuid.UUID
	// played holds the steps taken so far.
	played []played
}

// cast gives every scenario its payments.
func cast(scenarios []scenario) ([]*story, error) {
	var stories []*story
	for _, sc := range scenarios {
		for range max(sc.times, 1) {
			id, err := uuid.NewV7()
			if err != nil {
				return nil, fmt.Errorf("make a payment id: %w", err)
			}
			stories = append(stories, &story{scenario: sc, paymentID: id})
		}
	}
	return stories, nil
}

// unanswered reports whether a command had no answer in time.
func (told *story) unanswered() bool {
	return slices.ContainsFunc(told.played, func(p played) bool { return p.unanswered })
}

// over reports whether the story ends with an act.
func (told *story) over(a act) bool {
	return len(told.played) == len(told.steps) && !told.parked(a)
}

// parked reports whether the last step taken waits for the act after this one.
func (told *story) parked(a act) bool {
	last := len(told.played) - 1
	return last >= 0 && told.played[last].parks && told.played[last].act == a
}

// in reports whether the story continues in an act.
func (told *story) in(a act) bool {
	return told.parked(a-1) || len(told.played) < len(told.steps) && told.steps[len(told.played)].act == a
}

// outside reports whether a story goes beyond the first act.
func outside(stories []*story) bool {
	return slices.ContainsFunc(stories, func(told *story) bool {
		return slices.ContainsFunc(told.steps, func(st step) bool { return st.act != actUp })
	})
}

// command returns the command of a step: under a new message id, unless the step repeats the
// message before it, and under the idempotency key that it may share with others.
func (told *story) command(st step) messages.Command {
	n := len(told.played) + 1
	if st.again {
		n--
		st.body, st.key = told.steps[n-1].body, told.steps[n-1].key
	}
	if compensate, ok := st.body.(*messages.Compensate); ok {
		// The script names the operation by its number in the payment.
		st.body = &messages.Compensate{
			OperationID: told.paymentID.String() + compensate.OperationID, Actor: compensate.Actor, Reason: compensate.Reason,
		}
	}
	c := messages.Command{PaymentID: told.paymentID, ID: fmt.Sprintf("%s-%d", told.paymentID, n), Body: st.body}
	c.IdempotencyKey = c.ID
	if st.key != "" {
		c.IdempotencyKey = told.paymentID.String() + "-" + st.key
	}
	return c
}
