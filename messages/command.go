package messages

import (
	"time"

	"github.com/google/uuid"
)

// CommandName is the verb of a command, the fourth token of its subject.
type CommandName string

// The commands. Tender's own scheduler publishes Resume, its webhook endpoint Notify, and operators
// Resolve and Compensate; producers publish the rest.
const (
	CommandCreate     CommandName = "create"
	CommandConfirm    CommandName = "confirm"
	CommandCapture    CommandName = "capture"
	CommandVoid       CommandName = "void"
	CommandRefund     CommandName = "refund"
	CommandResume     CommandName = "resume"
	CommandResolve    CommandName = "resolve"
	CommandCompensate CommandName = "compensate"
	CommandNotify     CommandName = "notify"
)

// CaptureMethod says when an authorized amount is captured.
type CaptureMethod string

// The capture methods. The zero value of a Create means CaptureAutomatic.
const (
	// CaptureAutomatic captures the whole amount together with the authorization.
	CaptureAutomatic CaptureMethod = "automatic"
	// CaptureManual waits for one capture, of all or of a part; a part releases the rest.
	CaptureManual CaptureMethod = "manual"
	// CaptureManualMultiple allows several captures until one is final, the payment is voided or
	// nothing is left.
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
	// PayloadHash is SHA-256 over the canonical form of the body, so that white space and the order
	// of keys don't count.
	PayloadHash [32]byte
	// CorrelationID is the Correlation-Id header, else the payment id.
	CorrelationID string
	// Traceparent is the W3C traceparent header, "" if there is none.
	Traceparent string
	Body        CommandBody
}

// Name returns the command's verb.
func (c Command) Name() CommandName { return c.Body.CommandName() }

// CommandBody is the body of one command: *Create, *Confirm, *Capture, *Void, *Refund, *Resume,
// *Resolve, *Compensate or *Notify.
type CommandBody interface {
	CommandName() CommandName
}

// Create asks for a new payment and authorizes it, capturing at once unless CaptureMethod says
// otherwise.
type Create struct {
	AmountMinor       int64             `json:"amount_minor"`
	Currency          string            `json:"currency"`
	PaymentMethod     string            `json:"payment_method"`
	CaptureMethod     CaptureMethod     `json:"capture_method,omitempty"`
	CustomerID        string            `json:"customer_id,omitempty"`
	MerchantReference string            `json:"merchant_reference,omitempty"`
	Country           string            `json:"country,omitempty"`
	Metadata          map[string]string `json:"metadata,omitempty"`
	// Retry asks for further attempts after soft declines; nil asks for none.
	Retry *Retry `json:"retry,omitempty"`
}

// Retry says how far soft declines may be retried. When is for the gateway's advice and the card
// networks' rules to say.
type Retry struct {
	// MaxAttempts counts the first attempt, too: 2 to 15.
	MaxAttempts int `json:"max_attempts"`
	// Until is when the last attempt may be made.
	Until time.Time `json:"until"`
}

// Confirm continues a payment after the customer's action, or with a new payment method after a
// decline that asks for one.
type Confirm struct {
	// PaymentMethod is required when the payment requires a payment method and refused otherwise.
	PaymentMethod string `json:"payment_method,omitempty"`
}

// Capture takes an authorized amount.
type Capture struct {
	// AmountMinor is the part to capture; nil captures all that is capturable.
	AmountMinor *int64 `json:"amount_minor,omitempty"`
	// Final releases what is left after this capture. A payment with CaptureManual is always
	// captured finally.
	Final bool `json:"final,omitempty"`
}

// Void releases what is authorized and not captured, or cancels a payment that is not authorized
// yet.
type Void struct {
	Reason string `json:"reason,omitempty"`
}

// Refund gives captured money back.
type Refund struct {
	// AmountMinor is the part to refund; nil refunds all that is refundable.
	AmountMinor *int64       `json:"amount_minor,omitempty"`
	Reason      RefundReason `json:"reason,omitempty"`
}

// Resume asks the workers to do what is due on a payment: a retry, a check of an unknown outcome,
// an expiry. It states no action of its own, so publishing it twice, late or for no reason changes
// nothing.
type Resume struct {
	// DueAt is the timer that fired, for tracing only.
	DueAt time.Time `json:"due_at,omitzero"`
	// Now tries what is parked at once, before its time: the gateway is back, or an operator asks
	// for it.
	Now bool `json:"now,omitempty"`
}

// Resolve records what an operator found out about an operation that is unknown or in review. It
// may be sent again while a review is open: the latest finding stands.
type Resolve struct {
	OperationID string          `json:"operation_id"`
	Outcome     ResolvedOutcome `json:"outcome"`
	// AmountMinor is the amount that moved, with succeeded; nil is the amount that the gateway
	// reported, or else the amount that was asked for.
	AmountMinor      *int64 `json:"amount_minor,omitempty"`
	Actor            string `json:"actor"`
	Reason           string `json:"reason"`
	Evidence         string `json:"evidence,omitempty"`
	GatewayReference string `json:"gateway_reference,omitempty"`
}

// Compensate gives back what one operation moved beyond what may be booked: a second charge, an
// excess. It voids or refunds that operation by itself, at its own gateway.
type Compensate struct {
	OperationID string `json:"operation_id"`
	// AmountMinor is the part to give back; nil gives all of the excess back.
	AmountMinor *int64 `json:"amount_minor,omitempty"`
	Actor       string `json:"actor"`
	Reason      string `json:"reason"`
}

// NotifyKind is what a gateway's notification is about.
type NotifyKind string

// The kinds of notification.
const (
	// NotifyOutcome tells how an operation ended, or that it waits for the customer.
	NotifyOutcome NotifyKind = "outcome"
	// NotifyReversal takes a success back: a capture returned by the bank, a refund that failed
	// after all.
	NotifyReversal NotifyKind = "reversal"
	// NotifyDispute tells of a dispute and where it stands.
	NotifyDispute NotifyKind = "dispute"
)

// Notify carries what a gateway said of its own accord. It may come late, twice, out of order, or
// before the answer to the call that it is about.
type Notify struct {
	Gateway string `json:"gateway"`
	// EventID is the gateway's own id of the notification.
	EventID    string     `json:"event_id"`
	Kind       NotifyKind `json:"kind"`
	OccurredAt time.Time  `json:"occurred_at,omitzero"`
	// OperationID names the operation; where the gateway doesn't give it, GatewayReference does.
	OperationID      string `json:"operation_id,omitempty"`
	GatewayReference string `json:"gateway_reference,omitempty"`
	// AmountMinor is the amount that was moved, reversed or disputed; 0 if the gateway doesn't say.
	AmountMinor int64 `json:"amount_minor,omitempty"`
	// Outcome is succeeded, declined, requires_action or pending, with NotifyOutcome.
	Outcome       OutcomeKind `json:"outcome,omitempty"`
	CaptureBefore time.Time   `json:"capture_before,omitzero"`
	// DeclineCode and DeclineClass say why, with a decline; the code also with a reversal.
	DeclineCode  string       `json:"decline_code,omitempty"`
	DeclineClass DeclineClass `json:"decline_class,omitempty"`
	// NextActionType and NextActionURL go with requires_action.
	NextActionType string `json:"next_action_type,omitempty"`
	NextActionURL  string `json:"next_action_url,omitempty"`
	// NextActionSecret is the NextAction's client secret.
	NextActionSecret string `json:"next_action_secret,omitempty"`
	// DisputeID, DisputeStatus (opened, challenged, accepted, expired, canceled, won, lost) and
	// RespondBefore go with NotifyDispute.
	DisputeID     string    `json:"dispute_id,omitempty"`
	DisputeStatus string    `json:"dispute_status,omitempty"`
	RespondBefore time.Time `json:"respond_before,omitzero"`
	Reason        string    `json:"reason,omitempty"`
}

// CommandName implements CommandBody.
func (*Notify) CommandName() CommandName { return CommandNotify }

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
func (*Compensate) CommandName() CommandName { return CommandCompensate }

// CommandName implements CommandBody.
func (*Resolve) CommandName() CommandName { return CommandResolve }
