package conformance

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// Payment makes the operations of one payment, each with its own id. It is for one goroutine.
type Payment struct {
	id    uuid.UUID
	count int
	// Reference is the authorization's, for everything but Authorize.
	Reference string
	Currency  string
	Tenant    string
}

// NewPayment returns a payment in USD with an id of its own.
func NewPayment() *Payment { return &Payment{id: uuid.New(), Currency: "USD", Tenant: "acme"} }

// ID returns the payment's id.
func (p *Payment) ID() uuid.UUID { return p.id }

// Authorize returns an authorization of that many minor units.
func (p *Payment) Authorize(paymentMethod string, amountMinor int64) messages.Operation {
	op := p.operation(messages.OperationAuthorize, amountMinor)
	op.PaymentMethod, op.GatewayReference = paymentMethod, ""
	return op
}

// Charge returns an authorization that captures at once.
func (p *Payment) Charge(paymentMethod string, amountMinor int64) messages.Operation {
	op := p.Authorize(paymentMethod, amountMinor)
	op.Capture = true
	return op
}

// Confirm returns the operation that follows the customer's action.
func (p *Payment) Confirm(amountMinor int64) messages.Operation {
	return p.operation(messages.OperationConfirm, amountMinor)
}

// Capture returns a capture that leaves the rest authorized.
func (p *Payment) Capture(amountMinor int64) messages.Operation {
	return p.operation(messages.OperationCapture, amountMinor)
}

// CaptureFinally returns a capture that releases the rest.
func (p *Payment) CaptureFinally(amountMinor int64) messages.Operation {
	op := p.Capture(amountMinor)
	op.Final = true
	return op
}

// Void returns the release of all that is not captured.
func (p *Payment) Void() messages.Operation { return p.operation(messages.OperationVoid, 0) }

// Refund returns a refund.
func (p *Payment) Refund(amountMinor int64) messages.Operation {
	return p.operation(messages.OperationRefund, amountMinor)
}

func (p *Payment) operation(kind messages.OperationKind, amountMinor int64) messages.Operation {
	p.count++
	return messages.Operation{
		ID: fmt.Sprintf("%s-%d", p.id, p.count), Kind: kind, Tenant: p.Tenant, PaymentID: p.id, Gateway: "under-test", Attempt: 1,
		AmountMinor: amountMinor, Currency: p.Currency, GatewayReference: p.Reference, MerchantReference: "order-42",
	}
}
