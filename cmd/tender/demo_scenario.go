package main

import (
	"fmt"
	"strings"

	"github.com/seed-384b1f8a/tender/messages"
)

// scenario is the story of one payment: what is asked for, and what must come of it.
type scenario struct {
	name  string
	steps []step
	want  expected
}

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

// happening is an event by its type, and for a refusal by its code.
type happening struct {
	Type messages.EventType     `json:"type"`
	Code messages.RejectionCode `json:"code,omitempty"`
}

// expected is where a payment must stand in the end. Amounts are in minor units.
type expected struct {
	// status is none if no payment must come of it.
	status                                   messages.Status
	authorized, captured, released, refunded int64
	// effects are how often the gateway must have moved money or set it aside, over all operations of the payment.
	effects int
}

func emitted(kinds ...messages.EventType) []happening {
	wanted := make([]happening, len(kinds))
	for i, kind := range kinds {
		wanted[i].Type = kind
	}
	return wanted
}

func refusedWith(code messages.RejectionCode) []happening {
	return []happening{{messages.EventCommandRejected, code}}
}

// happened returns what an event is to the script.
func happened(e messages.Event) happening {
	h := happening{Type: e.Type()}
	if rejected, ok := e.Data.(*messages.CommandRejected); ok {
		h.Code = rejected.Code
	}
	return h
}

// String says it for people, short where the object is the payment itself.
func (h happening) String() string {
	if h.Type == messages.EventCommandRejected {
		return "refused: " + string(h.Code)
	}
	return strings.TrimPrefix(string(h.Type), "payment.")
}

// listed names several things in a sentence.
func listed[T any](things []T) string {
	if len(things) == 0 {
		return "none"
	}
	return fmt.Sprint(things)
}
