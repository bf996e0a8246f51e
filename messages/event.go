package messages

import (
	"time"

	"github.com/google/uuid"
)

// EventType names what happened: "<object>.<event>", the fourth and fifth tokens of the event's
// subject.
type EventType string

// The events. Those of the operation object are recorded in a payment's history and not published:
// they carry Tender's own bookkeeping of what was sent to which gateway.
const (
	EventPaymentCreated         EventType = "payment.created"
	EventPaymentRouted          EventType = "payment.routed"
	EventPaymentParked          EventType = "payment.parked"
	EventPaymentProcessing      EventType = "payment.processing"
	EventPaymentActionRequired  EventType = "payment.action_required"
	EventPaymentConfirmFailed   EventType = "payment.confirm_failed"
	EventPaymentAuthorized      EventType = "payment.authorized"
	EventPaymentDeclined        EventType = "payment.declined"
	EventPaymentOutcomeUnknown  EventType = "payment.outcome_unknown"
	EventPaymentOutcomeResolved EventType = "payment.outcome_resolved"
	EventPaymentCaptured        EventType = "payment.captured"
	EventPaymentCaptureFailed   EventType = "payment.capture_failed"
	EventPaymentCaptureReversed EventType = "payment.capture_reversed"
	EventPaymentVoided          EventType = "payment.voided"
	EventPaymentVoidFailed      EventType = "payment.void_failed"
	EventPaymentExpiring        EventType = "payment.expiring"
	EventPaymentExpired         EventType = "payment.expired"
	EventPaymentFailed          EventType = "payment.failed"
	EventPaymentReviewOpened    EventType = "payment.review_opened"

	EventPaymentCompensated        EventType = "payment.compensated"
	EventPaymentCompensationFailed EventType = "payment.compensation_failed"

	EventRefundCreated   EventType = "refund.created"
	EventRefundSucceeded EventType = "refund.succeeded"
	EventRefundFailed    EventType = "refund.failed"

	EventDisputeOpened     EventType = "dispute.opened"
	EventDisputeChallenged EventType = "dispute.challenged"
	EventDisputeAccepted   EventType = "dispute.accepted"
	EventDisputeExpired    EventType = "dispute.expired"
	EventDisputeCanceled   EventType = "dispute.canceled"
	EventDisputeWon        EventType = "dispute.won"
	EventDisputeLost       EventType = "dispute.lost"

	EventCommandRejected EventType = "command.rejected"

	EventOperationSent     EventType = "operation.sent"
	EventOperationNotSent  EventType = "operation.not_sent"
	EventOperationDeclined EventType = "operation.declined"
	EventOperationClosed   EventType = "operation.closed"
	EventOperationChecked  EventType = "operation.checked"
)

// Published reports whether events of this type go onto the bus.
func (t EventType) Published() bool {
	switch t {
	case EventOperationSent, EventOperationNotSent, EventOperationDeclined, EventOperationClosed, EventOperationChecked:
		return false
	default:
		return true
	}
}

// Status is where a payment stands.
type Status string

// The statuses of a payment. StatusNone is a payment that was never created: its history holds
// refusals only.
const (
	StatusNone        Status = "none"
	StatusCreated     Status = "created"
	StatusAuthorizing Status = "authorizing"
	// StatusProcessing: the gateway has taken an operation and finishes it later.
	StatusProcessing            Status = "processing"
	StatusRequiresAction        Status = "requires_action"
	StatusRequiresPaymentMethod Status = "requires_payment_method"
	StatusAuthorized            Status = "authorized"
	StatusCapturing             Status = "capturing"
	StatusPartiallyCaptured     Status = "partially_captured"
	StatusCaptured              Status = "captured"
	StatusPartiallyRefunded     Status = "partially_refunded"
	StatusRefunded              Status = "refunded"
	StatusVoiding               Status = "voiding"
	StatusVoided                Status = "voided"
	StatusExpired               Status = "expired"
	StatusFailed                Status = "failed"
	StatusUnknown               Status = "unknown"
	StatusReview                Status = "review"
)

// Event is one fact in a payment's history. Versions count from 1 without gaps; the bus shows gaps
// where an event is of a type that is not published.
type Event struct {
	PaymentID  uuid.UUID
	Tenant     string
	Version    int64
	OccurredAt time.Time
	// Status is the payment's status after this event.
	Status Status
	// CorrelationID ties together everything that belongs to one business transaction.
	CorrelationID string
	// CausationID is the id of the command that led to this event.
	CausationID string
	// PreviousHash is the EventHash of the event before this one in the payment's history,
	// published or not. None for version 1, and for what was recorded before there was a chain.
	PreviousHash Hash
	// Traceparent travels in the headers only.
	Traceparent string
	Data        EventData
}

// Type returns the event's type.
func (e Event) Type() EventType { return e.Data.EventType() }

// EventData is what is particular to one type of event.
type EventData interface {
	EventType() EventType
}

// Statuses lists every status, in the order in which a payment may come by them.
func Statuses() []Status {
	return []Status{
		StatusNone, StatusCreated, StatusAuthorizing, StatusProcessing, StatusRequiresAction, StatusRequiresPaymentMethod,
		StatusAuthorized, StatusCapturing, StatusPartiallyCaptured, StatusCaptured, StatusPartiallyRefunded,
		StatusRefunded, StatusVoiding, StatusVoided, StatusExpired, StatusFailed, StatusUnknown, StatusReview,
	}
}
