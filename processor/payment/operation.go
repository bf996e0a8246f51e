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
	// OperationPending: the gateway has taken it and finishes it later.
	OperationPending      OperationStatus = "pending"
	OperationUnknown      OperationStatus = "unknown"
	OperationManualReview OperationStatus = "manual_review"
	OperationSucceeded    OperationStatus = "succeeded"
	OperationFailed       OperationStatus = "failed"
)

// Operation is one thing asked of a gateway, and the record of what it moved there. Its id is the
// gateway's idempotency key in every attempt.
type Operation struct {
	ID     string                 `json:"operation_id"`
	Kind   messages.OperationKind `json:"kind"`
	Status OperationStatus        `json:"status"`
	// AmountMinor is the amount that the gateway was asked for. As long as the operation is open,
	// it stays reserved.
	AmountMinor int64  `json:"amount_minor"`
	Gateway     string `json:"gateway"`
	// GatewayReference is the gateway's id of this operation, once it has told it.
	GatewayReference string `json:"gateway_reference,omitempty"`
	// Target is the operation that this one acts on: the authorization that is confirmed, captured,
	// voided or refunded, or the operation that is compensated. An authorize has none.
	Target        string `json:"target_operation_id,omitempty"`
	PaymentMethod string `json:"payment_method,omitempty"`
	// Previous is the authorization at another gateway that this one took the place of.
	Previous string `json:"previous_operation_id,omitempty"`
	// Decline is the reason for which the gateway declined it.
	Decline *messages.Decline `json:"decline,omitempty"`
	Final   bool              `json:"final,omitempty"`
	Reason  string            `json:"reason,omitempty"`
	// Purpose says why Tender sent it of its own accord; "" if a command asked for it.
	Purpose messages.Purpose `json:"purpose,omitempty"`
	Attempt int              `json:"attempt"`
	Tries   int              `json:"tries,omitempty"`

	// The amounts that moved and are booked, by what they did. An authorize or confirm that
	// captures at once has authorized and captured; a final capture and a void have released.
	AuthorizedMinor int64 `json:"amount_authorized_minor,omitempty"`
	CapturedMinor   int64 `json:"amount_captured_minor,omitempty"`
	ReleasedMinor   int64 `json:"amount_released_minor,omitempty"`
	RefundedMinor   int64 `json:"amount_refunded_minor,omitempty"`
	// ReversedMinor is the part of the captured or refunded amount that was taken back later, and
	// DisputedMinor the part of the captured amount that was lost in disputes.
	ReversedMinor int64 `json:"amount_reversed_minor,omitempty"`
	DisputedMinor int64 `json:"amount_disputed_minor,omitempty"`
	// ExcessMinor is the amount that the gateway reports to have moved beyond what may be booked,
	// and CompensatedMinor the part of such an amount that was given back.
	ExcessMinor      int64 `json:"amount_excess_minor,omitempty"`
	CompensatedMinor int64 `json:"amount_compensated_minor,omitempty"`

	// Actionable means that it once waited for the customer: only a void proves that the customer
	// can no longer complete it.
	Actionable bool `json:"actionable,omitempty"`
	// Claimed means that the gateway reported a success that names no amount.
	Claimed bool `json:"claimed,omitempty"`
	// Unproven means that an earlier attempt ended without an answer: proof that a later one was
	// not sent proves nothing about that one.
	Unproven bool `json:"unproven,omitempty"`
	// Review is the reason of an open review of a settled operation; "" if there is none. An
	// unsettled operation in review has the status OperationManualReview.
	Review string `json:"review,omitempty"`
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
	// PendingSince and UnknownSince are when it first came to be so.
	PendingSince time.Time `json:"pending_since,omitzero"`
	UnknownSince time.Time `json:"unknown_since,omitzero"`
	// Checks counts the rungs of the ladder that were climbed since UnknownSince.
	Checks int `json:"checks,omitempty"`
	// NextCheckAt is the timer of an operation that was not sent or is unknown. For a pending one
	// it is the first time of a schedule.
	NextCheckAt time.Time `json:"next_check_at,omitzero"`
}

// movedMinor is the booked amount that the operation moved.
func (o *Operation) movedMinor() int64 {
	if isVoid(o) {
		return o.ReleasedMinor
	}
	return max(o.AuthorizedMinor, o.CapturedMinor, o.RefundedMinor)
}

// reportedMinor is all that the gateway has reported to have moved by the operation.
func (o *Operation) reportedMinor() int64 {
	return o.movedMinor() + o.ExcessMinor + o.CompensatedMinor
}

// effort is attempt for the events that may come about without asking a gateway.
func (o *Operation) effort(answer messages.Outcome) messages.Effort {
	a := o.attempt(answer)
	return messages.Effort{Attempt: a.Attempt, Tries: a.Tries, LatencyMS: a.LatencyMS}
}

// Open reports whether the operation may still move money, so that its amount stays reserved.
func (o *Operation) Open() bool {
	switch o.Status {
	case OperationSent, OperationNotSent, OperationPending, OperationUnknown, OperationManualReview:
		return true
	case OperationRequiresAction, OperationSucceeded, OperationFailed:
		return false
	default:
		panic("payment: operation " + o.ID + " has the impossible status " + string(o.Status))
	}
}

// InReview reports whether a person has to look at it.
func (o *Operation) InReview() bool { return o.Status == OperationManualReview || o.Review != "" }

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
func isRefund(o *Operation) bool  { return o.Kind == messages.OperationRefund }

// isCompensation reports whether it gives an excess back. What it moves is not booked of the
// payment, but of the operation that it compensates.
func isCompensation(o *Operation) bool { return o.Purpose == messages.PurposeCompensate }

func (o *Operation) appendJSON(b []byte) []byte {
	w := jsonobject.New(b)
	w.String("operation_id", o.ID)
	w.String("kind", string(o.Kind))
	w.String("status", string(o.Status))
	w.Int("amount_minor", o.AmountMinor)
	w.String("gateway", o.Gateway)
	w.StringOmit("gateway_reference", o.GatewayReference)
	w.StringOmit("target_operation_id", o.Target)
	w.StringOmit("payment_method", o.PaymentMethod)
	w.StringOmit("previous_operation_id", o.Previous)
	if o.Decline != nil {
		w.Value("decline", o.Decline)
	}
	w.BoolOmit("final", o.Final)
	w.StringOmit("reason", o.Reason)
	w.StringOmit("purpose", string(o.Purpose))
	w.Int("attempt", int64(o.Attempt))
	w.IntOmit("tries", int64(o.Tries))
	w.IntOmit("amount_authorized_minor", o.AuthorizedMinor)
	w.IntOmit("amount_captured_minor", o.CapturedMinor)
	w.IntOmit("amount_released_minor", o.ReleasedMinor)
	w.IntOmit("amount_refunded_minor", o.RefundedMinor)
	w.IntOmit("amount_reversed_minor", o.ReversedMinor)
	w.IntOmit("amount_disputed_minor", o.DisputedMinor)
	w.IntOmit("amount_excess_minor", o.ExcessMinor)
	w.IntOmit("amount_compensated_minor", o.CompensatedMinor)
	w.BoolOmit("actionable", o.Actionable)
	w.BoolOmit("claimed", o.Claimed)
	w.BoolOmit("unproven", o.Unproven)
	w.StringOmit("review", o.Review)
	w.String("caused_by", o.CausedBy)
	w.String("sent_by", o.SentBy)
	w.Time("first_sent_at", o.FirstSentAt)
	w.Time("sent_at", o.SentAt)
	w.TimeOmit("not_sent_since", o.NotSentSince)
	w.TimeOmit("pending_since", o.PendingSince)
	w.TimeOmit("unknown_since", o.UnknownSince)
	w.IntOmit("checks", int64(o.Checks))
	w.TimeOmit("next_check_at", o.NextCheckAt)
	return w.End()
}
