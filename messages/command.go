package messages

import (
	"time"

	"github.com/google/uuid"
)

// CommandName is the verb of a command, the fourth token of its subject.
type CommandName string

// The commands. Resume is published by Tender's own scheduler and Resolve by operators; the rest by producers.
const (
	CommandCreate  CommandName = "create"
	CommandConfirm CommandName = "confirm"
	CommandCapture CommandName = "capture"
	CommandVoid    CommandName = "void"
	CommandRefund  CommandName = "refund"
	CommandResume  CommandName = "resume"
	CommandResolve CommandName = "resolve"
)

// CaptureMethod says when an authorized amount is captured.
type CaptureMethod string

// The capture methods. The zero value of a Create means CaptureAutomatic.
const (
	// CaptureAutomatic captures the whole amount together with the authorization.
	CaptureAutomatic CaptureMethod = "automatic"
	// CaptureManual waits for one capture, of all or of a part; a part releases the rest.
	CaptureManual CaptureMethod = "manual"
	// CaptureManualMultiple allows several captures until one is final, the payment is voided or nothing is left.
	CaptureManualMultiple CaptureMethod = "manual_multiple"
)

// RefundReason is why money is given back.
type RefundReason string

// The refund reasons.
const (
	RefundDuplicate           RefundReason = "duplicate"
	RefundFraudulent          RefundReason = "fraudulent"
	RefundRequestedByCustomer RefundReason = "requested_by_customer"
)

// ResolvedOutcome is what an operator found to have happened to an operation at the gateway.
type ResolvedOutcome string

// The outcomes an operator can record.
const (
	ResolvedSucceeded ResolvedOutcome = "succeeded"
	ResolvedFailed    ResolvedOutcome = "failed"
)

// Command is one decoded command with what its subject and headers say about it.
type Command struct {
	// ID identifies this message: the ce-id header, else Nats-Msg-Id, else the idempotency key.
	// Events caused by the command carry it as their causation id.
	ID string
	// Tenant comes from the subject, never from the body.
	Tenant    string
	PaymentID uuid.UUID
	// IdempotencyKey is the Idempotency-Key header, else Nats-Msg-Id. Empty for resume only.
	IdempotencyKey string
	// PayloadHash is SHA-256 over the canonical form of the body, so that white space and the order of keys don't count.
	PayloadHash [32]byte
	// CorrelationID is the Correlation-Id header, else the payment id.
	CorrelationID string
	// Traceparent is the W3C traceparent header, "" if there is none.
	Traceparent string
	Body        CommandBody
}

// Name returns the command's verb.
func (c Command) Name() CommandName { return c.Body.CommandName() }

// CommandBody is the body of one command: *Create, *Confirm, *Capture, *Void, *Refund, *Resume or *Resolve.
type CommandBody interface {
	CommandName() CommandName
}

// Create asks for a new payment and authorizes it, capturing at once unless CaptureMethod says otherwise.
type Create struct {
	AmountMinor       int64             `json:"amount_minor"`
	Currency          string            `json:"currency"`
	PaymentMethod     string            `json:"payment_method"`
	CaptureMethod     CaptureMethod     `json:"capture_method,omitempty"`
	CustomerID        string            `json:"customer_id,omitempty"`
	MerchantReference string            `json:"merchant_reference,omitempty"`
	Country           string            `json:"country,omitempty"`
	Metadata          map[string]string `json:"metadata,omitempty"`
}

// Confirm continues a payment after the customer's action, or with a new payment method after a decline that
// asks for one.
type Confirm struct {
	// PaymentMethod is required when the payment requires a payment method and refused otherwise.
	PaymentMethod string `json:"payment_method,omitempty"`
}

// Capture takes an authorized amount.
type Capture struct {
	// AmountMinor is the part to capture; nil captures all that is capturable.
	AmountMinor *int64 `json:"amount_minor,omitempty"`
	// Final releases what is left after this capture. A payment with CaptureManual is always captured finally.
	Final bool `json:"final,omitempty"`
}

// Void releases what is authorized and not captured, or cancels a payment that is not authorized yet.
type Void struct {
	Reason string `json:"reason,omitempty"`
}

// Refund gives captured money back.
type Refund struct {
	// AmountMinor is the part to refund; nil refunds all that is refundable.
	AmountMinor *int64       `json:"amount_minor,omitempty"`
	Reason      RefundReason `json:"reason,omitempty"`
}

// Resume asks the workers to do what is due on a payment: a retry, a check of an unknown outcome, an expiry. It
// states no action of its own, so publishing it twice, late or for no reason changes nothing.
type Resume struct {
	// DueAt is the timer that fired, for tracing only.
	DueAt time.Time `json:"due_at,omitzero"`
}

// Resolve records what an operator found out about an operation in manual review.
type Resolve struct {
	OperationID      string          `json:"operation_id"`
	Outcome          ResolvedOutcome `json:"outcome"`
	Actor            string          `json:"actor"`
	Reason           string          `json:"reason"`
	Evidence         string          `json:"evidence,omitempty"`
	GatewayReference string          `json:"gateway_reference,omitempty"`
}

// CommandName implements CommandBody.
func (*Create) CommandName() CommandName { return CommandCreate }

// CommandName implements CommandBody.
func (*Confirm) CommandName() CommandName { return CommandConfirm }

// CommandName implements CommandBody.
func (*Capture) CommandName() CommandName { return CommandCapture }

// CommandName implements CommandBody.
func (*Void) CommandName() CommandName { return CommandVoid }

// CommandName implements CommandBody.
func (*Refund) CommandName() CommandName { return CommandRefund }

// CommandName implements CommandBody.
func (*Resume) CommandName() CommandName { return CommandResume }

// CommandName implements CommandBody.
func (*Resolve) CommandName() CommandName { return CommandResolve }
