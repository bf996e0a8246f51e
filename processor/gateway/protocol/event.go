package protocol

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// EventBytesMax is the longest event that is read.
const EventBytesMax = 256 << 10

// EventType is the kind of an event.
type EventType string

// The types. A receiver passes over types that it does not know.
const (
	// EventSucceeded, EventDeclined, EventRequiresAction and EventPending tell the outcome of an
	// operation, as an [Answer] would.
	EventSucceeded      EventType = "operation.succeeded"
	EventDeclined       EventType = "operation.declined"
	EventRequiresAction EventType = "operation.requires_action"
	EventPending        EventType = "operation.pending"
	// EventReversed takes back a success: the bank returned a capture, or a refund did not arrive.
	EventReversed EventType = "operation.reversed"
	// The disputes, as messages has them.
	EventDisputeOpened     = EventType(messages.EventDisputeOpened)
	EventDisputeChallenged = EventType(messages.EventDisputeChallenged)
	EventDisputeAccepted   = EventType(messages.EventDisputeAccepted)
	EventDisputeExpired    = EventType(messages.EventDisputeExpired)
	EventDisputeCanceled   = EventType(messages.EventDisputeCanceled)
	EventDisputeWon        = EventType(messages.EventDisputeWon)
	EventDisputeLost       = EventType(messages.EventDisputeLost)
)

// EventTypes returns every type there is.
func EventTypes() []EventType {
	return []EventType{
		EventSucceeded, EventDeclined, EventRequiresAction, EventPending, EventReversed,
		EventDisputeOpened, EventDisputeChallenged, EventDisputeAccepted, EventDisputeExpired, EventDisputeCanceled,
		EventDisputeWon, EventDisputeLost,
	}
}

// Event is a message that a server sends of its own accord: the body of a webhook. It names the
// tenant, payment and operation as they came with the operation.
type Event struct {
	// ID is the same however often the event is sent, and no other event has it.
	ID         string    `json:"event_id"`
	Type       EventType `json:"type"`
	OccurredAt time.Time `json:"occurred_at"`
	Tenant     string    `json:"tenant"`
	PaymentID  uuid.UUID `json:"payment_id"`
	// OperationID is that of the operation, or of the capture that is disputed.
	OperationID      string `json:"operation_id"`
	GatewayReference string `json:"gateway_reference,omitempty"`
	// AmountMinor is the amount that was moved, taken back or disputed, in minor units of the
	// operation's currency. Every success carries it; that of a void may leave it out.
	AmountMinor int64 `json:"amount_minor,omitempty"`
	// DeclineCode says why it was declined or taken back; the network's own codes come with
	// declined.
	DeclineCode        string `json:"decline_code,omitempty"`
	NetworkDeclineCode string `json:"network_decline_code,omitempty"`
	NetworkAdviceCode  string `json:"network_advice_code,omitempty"`
	// NextAction comes with requires_action.
	NextAction *messages.NextAction `json:"next_action,omitempty"`
	// CaptureBefore is the time at which the authorization lapses.
	CaptureBefore time.Time `json:"capture_before,omitzero"`
	// Reason explains a reversal or a dispute to a person.
	Reason string `json:"reason,omitempty"`
	// DisputeID and RespondBefore come with disputes.
	DisputeID     string    `json:"dispute_id,omitempty"`
	RespondBefore time.Time `json:"respond_before,omitzero"`
}

// EncodeEvent returns the body of an event. It fails on a time that JSON cannot say.
func EncodeEvent(e Event) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return body, nil
}

// DecodeEvent reads the body of an event. Fields and types that it does not know are passed over,
// so that a server may add some.
func DecodeEvent(body []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	return e, nil
}
