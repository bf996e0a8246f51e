package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
)

const (
	tenant      = "acme"
	commandName = "create"
	gatewayName = "sim"
	exponent    = 2
	traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

	statusAuthorizing = "authorizing"
	statusCaptured    = "captured"

	// eventsOfPayment is the number of events of a payment: created, routed, captured.
	eventsOfPayment = 3
)

// createCommand is the body of a command.
type createCommand struct {
	PaymentID         uuid.UUID `json:"payment_id"`
	IdempotencyKey    string    `json:"idempotency_key"`
	AmountMinor       int64     `json:"amount_minor"`
	Currency          string    `json:"currency"`
	PaymentMethod     string    `json:"payment_method"`
	CaptureMethod     string    `json:"capture_method"`
	CustomerID        string    `json:"customer_id"`
	MerchantReference string    `json:"merchant_reference"`
}

// payment is the state of a payment, as stored beside the indexed columns.
type payment struct {
	ID                uuid.UUID   `json:"payment_id"`
	Tenant            string      `json:"tenant"`
	Version           int64       `json:"version"`
	Status            string      `json:"status"`
	AmountMinor       int64       `json:"amount_minor"`
	Currency          string      `json:"currency"`
	Exponent          int16       `json:"exponent"`
	CaptureMethod     string      `json:"capture_method"`
	PaymentMethod     string      `json:"payment_method"`
	CustomerID        string      `json:"customer_id"`
	MerchantReference string      `json:"merchant_reference"`
	CorrelationID     string      `json:"correlation_id"`
	AuthorizedMinor   int64       `json:"amount_authorized_minor"`
	CapturedMinor     int64       `json:"amount_captured_minor"`
	RefundedMinor     int64       `json:"amount_refunded_minor"`
	ReleasedMinor     int64       `json:"amount_released_minor"`
	Gateway           string      `json:"gateway"`
	GatewayReference  string      `json:"gateway_reference,omitempty"`
	Operations        []operation `json:"operations"`
	CreatedAt         time.Time   `json:"created_at"`
	UpdatedAt         time.Time   `json:"updated_at"`
	LastHash          string      `json:"last_hash"`
}

type operation struct {
	ID               string    `json:"operation_id"`
	Kind             string    `json:"kind"`
	Status           string    `json:"status"`
	AmountMinor      int64     `json:"amount_minor"`
	Gateway          string    `json:"gateway"`
	GatewayReference string    `json:"gateway_reference,omitempty"`
	PaymentMethod    string    `json:"payment_method"`
	Attempt          int       `json:"attempt"`
	Tries            int       `json:"tries,omitempty"`
	CausedBy         string    `json:"caused_by"`
	SentBy           string    `json:"sent_by"`
	FirstSentAt      time.Time `json:"first_sent_at"`
	SentAt           time.Time `json:"sent_at"`
}

// event is the body of an event: the same fields, and so about the same bytes, as an event of
// Tender.
type event struct {
	PaymentID         uuid.UUID `json:"payment_id"`
	Tenant            string    `json:"tenant"`
	Version           int64     `json:"version"`
	Type              string    `json:"type"`
	Status            string    `json:"status"`
	OccurredAt        time.Time `json:"occurred_at"`
	CorrelationID     string    `json:"correlation_id"`
	CausationID       string    `json:"causation_id"`
	PreviousHash      string    `json:"previous_hash,omitempty"`
	OperationID       string    `json:"operation_id,omitempty"`
	Gateway           string    `json:"gateway,omitempty"`
	Attempt           int       `json:"attempt,omitempty"`
	Tries             int       `json:"tries,omitempty"`
	Rule              string    `json:"rule,omitempty"`
	AmountMinor       int64     `json:"amount_minor"`
	Currency          string    `json:"currency,omitempty"`
	Exponent          int16     `json:"exponent,omitempty"`
	CaptureMethod     string    `json:"capture_method,omitempty"`
	PaymentMethod     string    `json:"payment_method,omitempty"`
	CustomerID        string    `json:"customer_id,omitempty"`
	MerchantReference string    `json:"merchant_reference,omitempty"`
	CapturedMinor     int64     `json:"amount_captured_minor,omitempty"`
	CapturableMinor   *int64    `json:"amount_capturable_minor,omitempty"`
	Final             bool      `json:"final,omitempty"`
	GatewayReference  string    `json:"gateway_reference,omitempty"`
}

// record is an event with its encoding, which is both stored and published.
type record struct {
	event
	data []byte
}

// create returns a new payment and its events up to the call of the gateway.
func create(c createCommand, now time.Time) (*payment, []record, error) {
	p := &payment{
		ID: c.PaymentID, Tenant: tenant, Status: "created", AmountMinor: c.AmountMinor, Currency: c.Currency, Exponent: exponent,
		CaptureMethod: c.CaptureMethod, PaymentMethod: c.PaymentMethod, CustomerID: c.CustomerID,
		MerchantReference: c.MerchantReference, CorrelationID: c.PaymentID.String(), Gateway: gatewayName,
		CreatedAt: now, UpdatedAt: now,
		Operations: []operation{{
			ID: c.PaymentID.String() + "-1", Kind: "authorize", Status: "sent", AmountMinor: c.AmountMinor, Gateway: gatewayName,
			PaymentMethod: c.PaymentMethod, Attempt: 1, CausedBy: c.IdempotencyKey, SentBy: c.IdempotencyKey, FirstSentAt: now, SentAt: now,
		}},
	}
	created, err := p.record(event{
		Type: "payment.created", AmountMinor: p.AmountMinor, Currency: p.Currency, Exponent: p.Exponent, CaptureMethod: p.CaptureMethod,
		PaymentMethod: p.PaymentMethod, CustomerID: p.CustomerID, MerchantReference: p.MerchantReference,
	})
	if err != nil {
		return nil, nil, err
	}
	p.Status = statusAuthorizing
	routed, err := p.record(event{
		Type: "payment.routed", OperationID: p.Operations[0].ID, Gateway: gatewayName, Attempt: 1, Rule: "default",
		AmountMinor: p.AmountMinor, PaymentMethod: p.PaymentMethod,
	})
	return p, []record{created, routed}, err
}

// capture records that the gateway took the money.
func (p *payment) capture(reference string, now time.Time) (record, error) {
	op := &p.Operations[0]
	op.Status, op.Tries, op.GatewayReference = "succeeded", 1, reference
	p.Status, p.AuthorizedMinor, p.CapturedMinor = statusCaptured, p.AmountMinor, p.AmountMinor
	p.GatewayReference, p.UpdatedAt = reference, now
	return p.record(event{
		Type: "payment.captured", OperationID: op.ID, Gateway: gatewayName, Attempt: 1, Tries: 1, AmountMinor: p.AmountMinor,
		CapturedMinor: p.CapturedMinor, CapturableMinor: new(int64), Final: true, GatewayReference: reference,
	})
}

// record makes e the next event of the payment.
func (p *payment) record(e event) (record, error) {
	p.Version++
	e.PaymentID, e.Tenant, e.Version, e.Status, e.OccurredAt = p.ID, p.Tenant, p.Version, p.Status, p.UpdatedAt
	e.CorrelationID, e.CausationID, e.PreviousHash = p.CorrelationID, p.Operations[0].CausedBy, p.LastHash
	data, err := json.Marshal(e)
	if err != nil {
		return record{}, fmt.Errorf("encode event %d of payment %s: %w", e.Version, p.ID, err)
	}
	hash := sha256.Sum256(data)
	p.LastHash = hex.EncodeToString(hash[:])
	return record{event: e, data: data}, nil
}

// message returns the message to publish: a CloudEvent, with the attributes in the headers.
func (r record) message() *message.Message {
	id := fmt.Sprintf("%s:%d", r.PaymentID, r.Version)
	// The id of the row, of at most 36 characters, and of the message on the bus: the same whenever
	// it is published again.
	msg := message.NewMessage(uuid.NewSHA1(r.PaymentID, []byte(id)).String(), r.data)
	msg.Metadata = message.Metadata{
		"Content-Type": "application/json", "ce-id": id, "ce-source": "peer", "ce-specversion": "1.0",
		"ce-subject": r.PaymentID.String(), "ce-time": r.OccurredAt.Format(time.RFC3339Nano), "ce-type": "peer." + r.Type + ".v1",
		"traceparent": traceparent,
	}
	return msg
}
