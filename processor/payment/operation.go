package payment

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/jsonobject"
)

// OperationStatus is how far an operation at a gateway has come. Whether the request can have
// reached the gateway is part of it, and nothing but the gateway's answer or an operator's finding
// turns unknown into anything else.
type OperationStatus string

// The statuses of an operation.
const (
	// OperationSent may have reached the gateway; its answer is awaited.
	OperationSent OperationStatus = "sent"
	// OperationNotSent is proven never to have reached the gateway; it will be tried again.
	OperationNotSent        OperationStatus = "not_sent"
	OperationRequiresAction OperationStatus = "requires_action"
	OperationUnknown        OperationStatus = "unknown"
	OperationManualReview   OperationStatus = "manual_review"
	OperationSucceeded      OperationStatus = "succeeded"
	OperationFailed         OperationStatus = "failed"
)

// Operation is one thing asked of a gateway. Its id is the gateway's idempotency key in every
// attempt.
type Operation struct {
	ID          string                 `json:"operation_id"`
	Kind        messages.OperationKind `json:"kind"`
	Status      OperationStatus        `json:"status"`
	AmountMinor int64                  `json:"amount_minor"`
	Gateway     string                 `json:"gateway"`
	// GatewayReference is the gateway's id of this operation, once it has told it.
	GatewayReference string `json:"gateway_reference,omitempty"`
	PaymentMethod    string `json:"payment_method,omitempty"`
	// Previous is the authorization at another gateway that this one took the place of.
	Previous string `json:"previous_operation_id,omitempty"`
	// DeclineCode is why the gateway declined it.
	DeclineCode string `json:"decline_code,omitempty"`
	Final       bool   `json:"final,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Expires names the thing whose time has passed and that a void ends; "" if a command asked for
	// the void.
	Expires string `json:"expires,omitempty"`
	Attempt int    `json:"attempt"`
	Tries   int    `json:"tries,omitempty"`
	// Pending means the gateway has taken it and will finish it later.
	Pending bool `json:"pending,omitempty"`
	// Unproven means that an earlier attempt ended without an answer: proof that a later one was
	// not sent proves nothing about that one.
	Unproven bool `json:"unproven,omitempty"`
	// Contradicted means that the gateway later said the opposite of the recorded outcome.
	Contradicted bool `json:"contradicted,omitempty"`
	// ReversedMinor is how much of it was taken back after it had succeeded.
	ReversedMinor int64 `json:"amount_reversed_minor,omitempty"`
	// CausedBy is the command that asked for the operation; SentBy the one that made the latest
	// attempt.
	CausedBy string `json:"caused_by"`
	SentBy   string `json:"sent_by"`

	// FirstSentAt is when the first attempt was recorded, SentAt the latest.
	FirstSentAt time.Time `json:"first_sent_at"`
	SentAt      time.Time `json:"sent_at"`
	// NotSentSince is when the first attempt was proven not to have been sent, those at other
	// gateways included.
	NotSentSince time.Time `json:"not_sent_since,omitzero"`
	UnknownSince time.Time `json:"unknown_since,omitzero"`
	// Checks counts the rungs of the ladder that were climbed since UnknownSince.
	Checks      int       `json:"checks,omitempty"`
	NextCheckAt time.Time `json:"next_check_at,omitzero"`
}

// effort is attempt for the events that may come about without asking a gateway.
func (o *Operation) effort(answer messages.Outcome) messages.Effort {
	a := o.attempt(answer)
	return messages.Effort{Attempt: a.Attempt, Tries: a.Tries, LatencyMS: a.LatencyMS}
}

// Open reports whether the operation may still move money, so that its amount stays reserved.
func (o *Operation) Open() bool {
	switch o.Status {
	case OperationSent, OperationNotSent, OperationUnknown, OperationManualReview:
		return true
	case OperationRequiresAction, OperationSucceeded, OperationFailed:
		return false
	default:
		panic("payment: operation " + o.ID + " has the impossible status " + string(o.Status))
	}
}

func (o *Operation) inFlight() bool {
	return o.Status == OperationSent || o.Status == OperationNotSent
}

func (o *Operation) settled() bool {
	return o.Status == OperationSucceeded || o.Status == OperationFailed
}

// attempt describes the operation in an event about an answer; the zero Outcome stands for no new
// answer.
func (o *Operation) attempt(answer messages.Outcome) messages.Attempt {
	return messages.Attempt{
		OperationID: o.ID, Gateway: o.Gateway, Attempt: o.Attempt, Tries: o.Tries + answer.Tries,
		LatencyMS: answer.Latency.Milliseconds(),
	}
}

func isAuthorization(o *Operation) bool {
	return o.Kind == messages.OperationAuthorize || o.Kind == messages.OperationConfirm
}
func isCapture(o *Operation) bool { return o.Kind == messages.OperationCapture }
func isVoid(o *Operation) bool    { return o.Kind == messages.OperationVoid }

func (o *Operation) appendJSON(b []byte) []byte {
	w := jsonobject.New(b)
	w.String("operation_id", o.ID)
	w.String("kind", string(o.Kind))
	w.String("status", string(o.Status))
	w.Int("amount_minor", o.AmountMinor)
	w.String("gateway", o.Gateway)
	w.StringOmit("gateway_reference", o.GatewayReference)
	w.StringOmit("payment_method", o.PaymentMethod)
	w.StringOmit("previous_operation_id", o.Previous)
	w.StringOmit("decline_code", o.DeclineCode)
	w.BoolOmit("final", o.Final)
	w.StringOmit("reason", o.Reason)
	w.StringOmit("expires", o.Expires)
	w.Int("attempt", int64(o.Attempt))
	w.IntOmit("tries", int64(o.Tries))
	w.BoolOmit("pending", o.Pending)
	w.BoolOmit("unproven", o.Unproven)
	w.BoolOmit("contradicted", o.Contradicted)
	w.IntOmit("amount_reversed_minor", o.ReversedMinor)
	w.String("caused_by", o.CausedBy)
	w.String("sent_by", o.SentBy)
	w.Time("first_sent_at", o.FirstSentAt)
	w.Time("sent_at", o.SentAt)
	w.TimeOmit("not_sent_since", o.NotSentSince)
	w.TimeOmit("unknown_since", o.UnknownSince)
	w.IntOmit("checks", int64(o.Checks))
	w.TimeOmit("next_check_at", o.NextCheckAt)
	return w.End()
}
