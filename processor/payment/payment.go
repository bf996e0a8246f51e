// Package payment is the money-safety core: what a payment is, what may happen to it, and what follows.
//
// It is pure. [Decide] takes a payment, a command and the time and answers with events and, perhaps, one call to a
// gateway; [Settle] does the same with the gateway's outcome; [Apply] folds an event into the payment. There is no I/O,
// no clock and no randomness here, so that every promise about money can be tested by brute force.
//
// It guarantees that captured and reserved captures never exceed what was authorized, that refunded and reserved
// refunds never exceed what was captured, that an unknown outcome keeps its money reserved until the gateway or a
// person has said what happened, and that folding the events gives the payment exactly.
package payment

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// Payment is the state that a payment's events fold into. The zero value is a payment without history.
type Payment struct {
	ID      uuid.UUID       `json:"payment_id"`
	Tenant  string          `json:"tenant"`
	Version int64           `json:"version"`
	Status  messages.Status `json:"status"`

	AmountMinor       int64                  `json:"amount_minor"`
	Currency          string                 `json:"currency,omitempty"`
	Exponent          int                    `json:"exponent"`
	CaptureMethod     messages.CaptureMethod `json:"capture_method,omitempty"`
	PaymentMethod     string                 `json:"payment_method,omitempty"`
	CustomerID        string                 `json:"customer_id,omitempty"`
	MerchantReference string                 `json:"merchant_reference,omitempty"`
	Country           string                 `json:"country,omitempty"`
	Metadata          map[string]string      `json:"metadata,omitempty"`
	CorrelationID     string                 `json:"correlation_id,omitempty"`
	Retry             *messages.Retry        `json:"retry,omitempty"`

	// What the gateways confirmed. Released is what was authorized and given back without being captured.
	AuthorizedMinor int64 `json:"amount_authorized_minor"`
	CapturedMinor   int64 `json:"amount_captured_minor"`
	RefundedMinor   int64 `json:"amount_refunded_minor"`
	ReleasedMinor   int64 `json:"amount_released_minor"`

	// Gateway and GatewayReference are those of the latest authorization.
	Gateway          string    `json:"gateway,omitempty"`
	GatewayReference string    `json:"gateway_reference,omitempty"`
	CaptureBefore    time.Time `json:"capture_before,omitzero"`
	ConfirmBefore    time.Time `json:"confirm_before,omitzero"`
	// WarnAt is when to warn that the authorization is about to lapse; RetryAt when to try it again after a decline.
	WarnAt     time.Time            `json:"warn_at,omitzero"`
	RetryAt    time.Time            `json:"retry_at,omitzero"`
	NextAction *messages.NextAction `json:"next_action,omitempty"`
	// Decline is the latest decline of an authorization that has not been followed by another try.
	Decline     *messages.Decline `json:"decline,omitempty"`
	FailureCode string            `json:"failure_code,omitempty"`
	// Closed is voided, expired or failed once the payment has ended without moving money.
	Closed messages.Status `json:"closed,omitempty"`

	Operations []Operation `json:"operations,omitempty"`
	Disputes   []Dispute   `json:"disputes,omitempty"`
	CreatedAt  time.Time   `json:"created_at,omitzero"`
	UpdatedAt  time.Time   `json:"updated_at,omitzero"`

	// LastHash is the hash of the event of Version, which the store sees to: nothing here decides by it or changes it.
	LastHash messages.Hash `json:"last_hash,omitzero"`
}

// Dispute is a customer's bank taking a captured payment back, or trying to.
type Dispute struct {
	ID            string             `json:"dispute_id"`
	Status        messages.EventType `json:"status"`
	AmountMinor   int64              `json:"amount_minor"`
	RespondBefore time.Time          `json:"respond_before,omitzero"`
}

// Created reports whether the payment exists, as opposed to a history of refusals only.
func (p *Payment) Created() bool { return p.Currency != "" }

// Clone returns a copy that shares nothing Apply writes to.
func (p *Payment) Clone() *Payment {
	c := *p
	c.Operations = slices.Clone(p.Operations)
	c.Disputes = slices.Clone(p.Disputes)
	return &c
}

// Operation returns the operation with the given id, nil if there is none. The pointer is into p.
func (p *Payment) Operation(id string) *Operation {
	for i := range p.Operations {
		if p.Operations[i].ID == id {
			return &p.Operations[i]
		}
	}
	return nil
}

// UncapturedMinor is what is authorized and neither captured nor released, reservations included.
func (p *Payment) UncapturedMinor() int64 {
	return p.AuthorizedMinor - p.CapturedMinor - p.ReleasedMinor
}

// CapturableMinor is what a new capture may take.
func (p *Payment) CapturableMinor() int64 {
	return p.UncapturedMinor() - p.reservedMinor(messages.OperationCapture)
}

// RefundableMinor is what a new refund may give back.
func (p *Payment) RefundableMinor() int64 {
	return p.CapturedMinor - p.RefundedMinor - p.reservedMinor(messages.OperationRefund)
}

// reservedMinor is the sum of the operations of a kind that are not settled: in flight, unknown or in review.
func (p *Payment) reservedMinor(kind messages.OperationKind) int64 {
	var sum int64
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Kind == kind && op.Open() {
			sum += op.AmountMinor
		}
	}
	return sum
}

// DueAt is when the payment next needs attention without anyone asking: a retry, a check, an expiry. Zero if never.
func (p *Payment) DueAt() time.Time {
	var due time.Time
	earliest := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	for i := range p.Operations {
		earliest(p.Operations[i].NextCheckAt)
	}
	earliest(p.expiresAt())
	if p.Status == messages.StatusRequiresPaymentMethod {
		earliest(p.RetryAt)
	}
	return due
}

// expiresAt is when an authorization that can still be captured, or a wait for the customer, ends, or first is to be
// warned of. An operation in
// flight puts it off: what the gateway is doing with the authorization is not known until that settles.
func (p *Payment) expiresAt() time.Time {
	if p.Closed != "" || p.openAmong(isAuthorization, isCapture, isVoid) != nil {
		return time.Time{}
	}
	switch {
	case p.UncapturedMinor() > 0 && !p.WarnAt.IsZero():
		return p.WarnAt
	case p.UncapturedMinor() > 0:
		return p.CaptureBefore
	case p.NextAction != nil:
		return p.ConfirmBefore
	default:
		return time.Time{}
	}
}
