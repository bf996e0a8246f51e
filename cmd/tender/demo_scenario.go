package main

import (
	"fmt"
	"strings"

	"github.com/seed-384b1f8a/tender/messages"
)

// scenario is the story of one payment: what is asked for, and what must come of it.
type scenario struct {
	name string
	// times is how many payments have this story side by side; 0 is one.
	times int
	steps []step
	want  expected
}

// act is a part of the demo: its steps are taken when the acts before it are over.
type act int

const (
	// actUp has every gateway working.
	actUp act = iota
	// actDown begins when nobody listens any more where the first gateway did.
	actDown
	// actBack begins when it listens again, and ends when everything that was parked has its answer.
	actBack
	// actAfter begins when no breaker keeps payments from it any more.
	actAfter
)

// step is one command and everything it must lead to.
type step struct {
	// asked says it for people.
	asked string
	// body is a command for the client to publish; raw is what is published as it stands instead.
	body messages.CommandBody
	raw  *rawCommand
	// key makes the commands of a payment that have the same one share an idempotency key; "" is a key of its own.
	key string
	// again publishes the message of the step before once more, as a producer does that saw no acknowledgement.
	again bool
	// act is when it is taken.
	act act
	// parks says that it is parked in its act, and has its answer in the next.
	parks bool

	// events are what is published because of it, in order.
	events []happening
	// letter is the reason of the dead letter that it becomes instead.
	letter messages.DecodeCode
}

// rawCommand is a message as anybody may put it on the bus: a subject, a message id and bytes.
type rawCommand struct {
	verb string
	body string
}

// happening is an event by its type, and by what matters of it.
type happening struct {
	Type messages.EventType `json:"type"`
	// Code is that of a refusal.
	Code messages.RejectionCode `json:"code,omitempty"`
	// Reason is why a payment was routed again.
	Reason string `json:"reason,omitempty"`
	// Webhook says that a capture was recorded on the gateway's own word, with no answer from it.
	Webhook bool `json:"by_webhook,omitempty"`
}

// expected is where a payment must stand in the end. Amounts are in minor units.
type expected struct {
	// status is none if no payment must come of it.
	status                                   messages.Status
	authorized, captured, released, refunded int64
	// effects are how often the gateway must have moved money or set it aside, over all operations of the payment.
	effects int
	// at is the gateway that must have done all that; "" is the first.
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

// happened returns what an event is to the script.
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

// String says it for people, short where the object is the payment itself.
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

// listed names several things in a sentence.
func listed[T any](things []T) string {
	if len(things) == 0 {
		return "none"
	}
	return fmt.Sprint(things)
}
