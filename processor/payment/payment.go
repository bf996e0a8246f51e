// Package payment is the money-safety core: what a payment is, what may happen to it, and what
// follows.
//
// It is pure. [Decide] takes a payment, a command and the time and answers with events and,
// perhaps, one call to a gateway; [Settle] does the same with the gateway's outcome; [Apply] folds
// an event into the payment. There is no I/O, no clock and no randomness here, so that every
// promise about money can be tested by brute force.
//
// It guarantees that captured and reserved captures never exceed what was authorized, that refunded
// and reserved refunds never exceed what was captured, that an unknown outcome keeps its money
// reserved until the gateway or a person has said what happened, and that folding the events gives
// the payment exactly.
package payment

import (
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/jsonobject"
)

// Payment is the state that a payment's events fold into. The zero value is a payment without
// history.
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

	// The amounts are sums over Operations, which Apply keeps. ReleasedMinor is the amount that was
	// authorized and can no longer be captured. DisputedMinor was lost in disputes, and
	// ExcessMinor moved at gateways beyond what may be booked. ShortfallMinor was given back to the
	// customer and is not covered by captured money any more: banks took that back.
	AuthorizedMinor int64 `json:"amount_authorized_minor"`
	CapturedMinor   int64 `json:"amount_captured_minor"`
	RefundedMinor   int64 `json:"amount_refunded_minor"`
	ReleasedMinor   int64 `json:"amount_released_minor"`
	DisputedMinor   int64 `json:"amount_disputed_minor,omitempty"`
	ExcessMinor     int64 `json:"amount_excess_minor,omitempty"`
	ShortfallMinor  int64 `json:"amount_shortfall_minor,omitempty"`

	// Gateway and GatewayReference are those of the latest authorization.
	Gateway          string    `json:"gateway,omitempty"`
	GatewayReference string    `json:"gateway_reference,omitempty"`
	CaptureBefore    time.Time `json:"capture_before,omitzero"`
	ConfirmBefore    time.Time `json:"confirm_before,omitzero"`
	// WarnAt is when to warn that the authorization is about to lapse; RetryAt when to try it again
	// after a decline.
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

	// LastHash is the hash of the event of Version, which the store sees to: nothing here decides
	// by it or changes it.
	LastHash messages.Hash `json:"last_hash,omitzero"`
}

// Dispute is a customer's bank taking a captured payment back, or trying to.
type Dispute struct {
	ID string `json:"dispute_id"`
	// OperationID is the authorization whose money is disputed; "" if there is none.
	OperationID   string             `json:"operation_id,omitempty"`
	Status        messages.EventType `json:"status"`
	AmountMinor   int64              `json:"amount_minor"`
	RespondBefore time.Time          `json:"respond_before,omitzero"`
}

// Created reports whether the payment exists, as opposed to a history of refusals only.
func (p *Payment) Created() bool { return p.Currency != "" }

// InReview reports whether a person has to look at any operation.
func (p *Payment) InReview() bool { return p.reviewing() }

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

// nextOperationID numbers a payment's operations from 1: the same decision always gives the same
// id.
func (p *Payment) nextOperationID() string {
	return p.ID.String() + "-" + strconv.Itoa(len(p.Operations)+1)
}

// openAmong returns the first open operation of any of the given sorts, nil if there is none.
func (p *Payment) openAmong(sorts ...func(*Operation) bool) *Operation {
	for i := range p.Operations {
		op := &p.Operations[i]
		if !op.Open() {
			continue
		}
		for _, is := range sorts {
			if is(op) {
				return op
			}
		}
	}
	return nil
}

// request is the operation as the gateway is asked for it, the same in every attempt but for the
// attempt's number. It goes to the gateway, and names the reference, where the money is.
func (p *Payment) request(op *Operation) messages.Operation {
	r := messages.Operation{
		ID: op.ID, Kind: op.Kind, Tenant: p.Tenant, PaymentID: p.ID, Gateway: op.Gateway, Attempt: op.Attempt,
		AmountMinor: op.AmountMinor, Currency: p.Currency,
		MerchantReference: p.MerchantReference, CustomerID: p.CustomerID,
	}
	switch op.Kind {
	case messages.OperationAuthorize:
		r.PaymentMethod = op.PaymentMethod
		r.Capture = p.CaptureMethod == messages.CaptureAutomatic
		return r
	case messages.OperationConfirm:
		r.Capture = p.CaptureMethod == messages.CaptureAutomatic
	case messages.OperationCapture:
		r.Final = op.Final
	case messages.OperationRefund:
		if !isCompensation(op) {
			r.Reason = messages.RefundReason(op.Reason)
		}
	case messages.OperationVoid:
	}
	r.GatewayReference = p.reference(p.Operation(op.Target))
	return r
}

// reference is the gateway's id of the authorization that an operation is, or belongs to.
func (p *Payment) reference(op *Operation) string {
	switch {
	case op == nil:
		return ""
	case op.Kind == messages.OperationAuthorize, op.Kind == messages.OperationConfirm && op.GatewayReference != "":
		return op.GatewayReference
	default:
		return p.reference(p.Operation(op.Target))
	}
}

// AppendJSON appends the state as encoding/json would write it, which is how it is stored and read
// back. It is written with every change of every payment, so it is written by hand; a test holds it
// equal for every field there is.
func (p *Payment) AppendJSON(b []byte) []byte {
	w := jsonobject.New(b)
	w.String("payment_id", p.ID.String())
	w.String("tenant", p.Tenant)
	w.Int("version", p.Version)
	w.String("status", string(p.Status))
	w.Int("amount_minor", p.AmountMinor)
	w.StringOmit("currency", p.Currency)
	w.Int("exponent", int64(p.Exponent))
	w.StringOmit("capture_method", string(p.CaptureMethod))
	w.StringOmit("payment_method", p.PaymentMethod)
	w.StringOmit("customer_id", p.CustomerID)
	w.StringOmit("merchant_reference", p.MerchantReference)
	w.StringOmit("country", p.Country)
	if len(p.Metadata) > 0 {
		w.Value("metadata", p.Metadata)
	}
	w.StringOmit("correlation_id", p.CorrelationID)
	if p.Retry != nil {
		w.Value("retry", p.Retry)
	}
	w.Int("amount_authorized_minor", p.AuthorizedMinor)
	w.Int("amount_captured_minor", p.CapturedMinor)
	w.Int("amount_refunded_minor", p.RefundedMinor)
	w.Int("amount_released_minor", p.ReleasedMinor)
	w.IntOmit("amount_disputed_minor", p.DisputedMinor)
	w.IntOmit("amount_excess_minor", p.ExcessMinor)
	w.IntOmit("amount_shortfall_minor", p.ShortfallMinor)
	w.StringOmit("gateway", p.Gateway)
	w.StringOmit("gateway_reference", p.GatewayReference)
	w.TimeOmit("capture_before", p.CaptureBefore)
	w.TimeOmit("confirm_before", p.ConfirmBefore)
	w.TimeOmit("warn_at", p.WarnAt)
	w.TimeOmit("retry_at", p.RetryAt)
	if p.NextAction != nil {
		w.Value("next_action", p.NextAction)
	}
	if p.Decline != nil {
		w.Value("decline", p.Decline)
	}
	w.StringOmit("failure_code", p.FailureCode)
	w.StringOmit("closed", string(p.Closed))
	if len(p.Operations) > 0 {
		w.Append("operations", p.appendOperations)
	}
	if len(p.Disputes) > 0 {
		w.Value("disputes", p.Disputes)
	}
	w.TimeOmit("created_at", p.CreatedAt)
	w.TimeOmit("updated_at", p.UpdatedAt)
	if !p.LastHash.IsZero() {
		w.String("last_hash", p.LastHash.String())
	}
	return w.End()
}

func (p *Payment) appendOperations(b []byte) []byte {
	b = append(b, '[')
	for i := range p.Operations {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Operations[i].appendJSON(b)
	}
	return append(b, ']')
}
