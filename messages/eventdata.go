package messages

import (
	"time"

	"github.com/google/uuid"
)

// Attempt says which operation an event is about, and how often it was tried.
type Attempt struct {
	OperationID string `json:"operation_id"`
	Gateway     string `json:"gateway"`
	// Attempt counts recorded sends from 1; Tries counts calls to the gateway, quick retries
	// included.
	Attempt int `json:"attempt"`
	Tries   int `json:"tries,omitempty"`
	// LatencyMS is how long the gateway took to this answer, in milliseconds.
	LatencyMS int64 `json:"latency_ms,omitempty"`
}

// Effort says what the answer took that an event reports, for events that may come about without
// asking a gateway. Its numbers are those of Attempt; all are absent where no gateway was asked.
type Effort struct {
	Attempt   int   `json:"attempt,omitempty"`
	Tries     int   `json:"tries,omitempty"`
	LatencyMS int64 `json:"latency_ms,omitempty"`
}

// PaymentCreated opens a payment.
type PaymentCreated struct {
	AmountMinor       int64             `json:"amount_minor"`
	Currency          string            `json:"currency"`
	Exponent          int               `json:"exponent"`
	CaptureMethod     CaptureMethod     `json:"capture_method"`
	PaymentMethod     string            `json:"payment_method"`
	CustomerID        string            `json:"customer_id,omitempty"`
	MerchantReference string            `json:"merchant_reference,omitempty"`
	Country           string            `json:"country,omitempty"`
	Metadata          map[string]string `json:"metadata,omitempty"`
	Retry             *Retry            `json:"retry,omitempty"`
}

// PaymentRouted records the choice of a gateway for an authorization and that the request may have
// been sent to it.
type PaymentRouted struct {
	Attempt
	// Rule names the routing rule that chose the gateway.
	Rule string `json:"rule,omitempty"`
	// AmountMinor is what is to be authorized.
	AmountMinor int64 `json:"amount_minor"`
	// PaymentMethod is the one this authorization is tried with.
	PaymentMethod string `json:"payment_method"`
	// PreviousOperationID is the authorization at another gateway that this one takes the place of,
	// and Reason why it may: "not_sent" or "declined". Both are absent for a first choice; "retry"
	// alone is a soft decline's next attempt.
	PreviousOperationID string `json:"previous_operation_id,omitempty"`
	Reason              string `json:"reason,omitempty"`
}

// Why an authorization may be tried at another gateway.
const (
	FailoverNotSent  = "not_sent"
	FailoverDeclined = "declined"
	// RetryDeclined is the reason of an attempt that the producer asked for after a soft decline.
	RetryDeclined = "retry"
)

// PaymentParked says that no gateway could be reached, provably, and that the operation is tried
// again later.
type PaymentParked struct {
	Attempt
	Kind    OperationKind `json:"kind"`
	Detail  string        `json:"detail,omitempty"`
	RetryAt time.Time     `json:"retry_at"`
}

// PaymentActionRequired asks for the customer: show them NextAction, then publish confirm.
type PaymentActionRequired struct {
	Attempt
	GatewayReference string     `json:"gateway_reference"`
	NextAction       NextAction `json:"next_action"`
	// ConfirmBefore is when the payment expires if nothing is confirmed.
	ConfirmBefore time.Time `json:"confirm_before"`
}

// PaymentAuthorized reserves money that can be captured.
type PaymentAuthorized struct {
	Attempt
	AmountMinor      int64     `json:"amount_minor"`
	GatewayReference string    `json:"gateway_reference"`
	CaptureBefore    time.Time `json:"capture_before"`
	// WarnAt is when payment.expiring follows if the payment is not captured by then; absent for no
	// warning.
	WarnAt time.Time `json:"warn_at,omitzero"`
}

// PaymentExpiring warns that an authorization is about to lapse.
type PaymentExpiring struct {
	AmountCapturableMinor int64     `json:"amount_capturable_minor"`
	CaptureBefore         time.Time `json:"capture_before"`
}

// PaymentDeclined says that the gateway definitively refused an authorization.
type PaymentDeclined struct {
	Attempt
	Decline
	// RetryAt is when the authorization is tried again; absent unless the producer asked for that
	// and may have it.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// PaymentOutcomeUnknown says that it is not known whether the gateway did it. Its money stays
// reserved.
type PaymentOutcomeUnknown struct {
	Attempt
	Kind        OperationKind `json:"kind"`
	AmountMinor int64         `json:"amount_minor"`
	Detail      string        `json:"detail,omitempty"`
	NextCheckAt time.Time     `json:"next_check_at,omitzero"`
}

// PaymentOutcomeResolved ends an unknown outcome or a review. The event that follows it says what
// the answer means.
type PaymentOutcomeResolved struct {
	Attempt
	Kind    OperationKind `json:"kind"`
	Outcome OutcomeKind   `json:"outcome"`
	// ResolvedBy is "gateway" or "operator".
	ResolvedBy string `json:"resolved_by"`
	Actor      string `json:"actor,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Evidence   string `json:"evidence,omitempty"`
}

// PaymentCaptured moves money. With automatic capture it authorizes the amount as well.
type PaymentCaptured struct {
	Attempt
	AmountMinor int64 `json:"amount_minor"`
	// AmountCapturedMinor and AmountCapturableMinor are the payment's totals after this capture.
	AmountCapturedMinor   int64  `json:"amount_captured_minor"`
	AmountCapturableMinor int64  `json:"amount_capturable_minor"`
	Final                 bool   `json:"final,omitempty"`
	GatewayReference      string `json:"gateway_reference"`
	// AmountReleasedMinor is what a final capture gave back of the authorization.
	AmountReleasedMinor int64 `json:"amount_released_minor,omitempty"`
}

// Failure is why an operation failed without or after a gateway's decline.
type Failure struct {
	// Code is a decline code, or one of gateway_unavailable, no_gateway, resolved_failed, reversed.
	Code    string       `json:"code"`
	Class   DeclineClass `json:"decline_class,omitempty"`
	Message string       `json:"message,omitempty"`
}

// PaymentCaptureFailed leaves the authorization as it was.
type PaymentCaptureFailed struct {
	Attempt
	Failure
	AmountMinor int64 `json:"amount_minor"`
}

// PaymentCaptureReversed takes back captured money: the customer's bank returned it, or the gateway
// found that it never came. What was reversed can't be captured again.
type PaymentCaptureReversed struct {
	Attempt
	Failure
	AmountMinor int64 `json:"amount_minor"`
	// AmountCapturedMinor is the payment's total after this reversal.
	AmountCapturedMinor int64 `json:"amount_captured_minor"`
}

// PaymentVoided releases what was authorized and not captured.
// Operation and gateway are absent where nothing had to be said to a gateway.
type PaymentVoided struct {
	OperationID string `json:"operation_id,omitempty"`
	Gateway     string `json:"gateway,omitempty"`
	Effort
	AmountReleasedMinor int64  `json:"amount_released_minor"`
	Reason              string `json:"reason,omitempty"`
}

// PaymentVoidFailed leaves the authorization as it was.
type PaymentVoidFailed struct {
	Attempt
	Failure
}

// The failure codes that are not a gateway's decline codes.
const (
	FailureNoGateway          = "no_gateway"
	FailureGatewayUnavailable = "gateway_unavailable"
	FailureResolvedFailed     = "resolved_failed"
	// FailureReversed: a success was taken back without a reason.
	FailureReversed = "reversed"
)

// What a PaymentExpired is about.
const (
	ExpiredAuthorization = "authorization"
	ExpiredAction        = "action"
)

// PaymentExpired says that an authorization lapsed, or that the customer's action never came.
type PaymentExpired struct {
	// OperationID is the void by which it was ended at the gateway.
	OperationID string `json:"operation_id,omitempty"`
	Gateway     string `json:"gateway,omitempty"`
	Effort
	AmountReleasedMinor int64 `json:"amount_released_minor"`
	// Expired is "authorization" or "action".
	Expired string `json:"expired"`
}

// PaymentFailed ends a payment that moved no money.
type PaymentFailed struct {
	OperationID string `json:"operation_id,omitempty"`
	Gateway     string `json:"gateway,omitempty"`
	Effort
	Failure
}

// PaymentReviewOpened asks for a person: the gateway could not be brought to say, or contradicted
// itself.
type PaymentReviewOpened struct {
	Attempt
	Kind   OperationKind `json:"kind"`
	Reason string        `json:"reason"`
	Detail string        `json:"detail,omitempty"`
}

// RefundCreated reserves captured money for a refund and records that the request may have been
// sent.
type RefundCreated struct {
	Attempt
	AmountMinor int64        `json:"amount_minor"`
	Reason      RefundReason `json:"reason,omitempty"`
}

// RefundSucceeded gives money back.
type RefundSucceeded struct {
	Attempt
	AmountMinor int64 `json:"amount_minor"`
	// AmountRefundedMinor is the payment's total after this refund.
	AmountRefundedMinor int64  `json:"amount_refunded_minor"`
	GatewayReference    string `json:"gateway_reference"`
}

// RefundFailed frees what the refund had reserved.
type RefundFailed struct {
	Attempt
	Failure
	AmountMinor int64 `json:"amount_minor"`
}

// Dispute is the body of every dispute event: a customer's bank takes a captured payment back, or
// tries to.
type Dispute struct {
	Type             EventType `json:"-"`
	DisputeID        string    `json:"dispute_id"`
	AmountMinor      int64     `json:"amount_minor"`
	Reason           string    `json:"reason,omitempty"`
	RespondBefore    time.Time `json:"respond_before,omitzero"`
	Gateway          string    `json:"gateway"`
	GatewayReference string    `json:"gateway_reference,omitempty"`
}

// RejectionCode says why a command was refused.
type RejectionCode string

// The rejection codes.
const (
	RejectInvalidState            RejectionCode = "invalid_state"
	RejectPaymentExists           RejectionCode = "payment_exists"
	RejectPaymentNotFound         RejectionCode = "payment_not_found"
	RejectOperationInProgress     RejectionCode = "operation_in_progress"
	RejectOutcomeUnknown          RejectionCode = "outcome_unknown"
	RejectAmountExceedsCapturable RejectionCode = "amount_exceeds_capturable"
	RejectAmountExceedsRefundable RejectionCode = "amount_exceeds_refundable"
	RejectNothingToCapture        RejectionCode = "nothing_to_capture"
	RejectNothingToRefund         RejectionCode = "nothing_to_refund"
	RejectPaymentMethodRequired   RejectionCode = "payment_method_required"
	RejectPaymentMethodUnexpected RejectionCode = "payment_method_unexpected"
	RejectOperationNotFound       RejectionCode = "operation_not_found"
	RejectIdempotencyConflict     RejectionCode = "idempotency_conflict"
	RejectAlreadyProcessed        RejectionCode = "already_processed"
	RejectAuthorizationExpired    RejectionCode = "authorization_expired"
)

// CommandRejected answers a command that the payment's state, or an earlier use of its key,
// refuses. Nothing moved.
type CommandRejected struct {
	Command        CommandName   `json:"command"`
	Code           RejectionCode `json:"code"`
	Message        string        `json:"message"`
	IdempotencyKey string        `json:"idempotency_key,omitempty"`
	// OriginalPaymentID is the payment that first used the key, with RejectAlreadyProcessed and
	// RejectIdempotencyConflict.
	OriginalPaymentID uuid.UUID `json:"original_payment_id,omitzero"`
}

// OperationSent records that a capture, void or confirm, or a further attempt at any operation, may
// have been sent.
type OperationSent struct {
	Attempt
	Kind        OperationKind `json:"kind"`
	AmountMinor int64         `json:"amount_minor"`
	Final       bool          `json:"final,omitempty"`
	Reason      string        `json:"reason,omitempty"`
	// Expires is "authorization" or "action" for a void that the clock asked for.
	Expires string `json:"expires,omitempty"`
}

// OperationNotSent records proof that an attempt never reached the gateway.
type OperationNotSent struct {
	Attempt
	Detail string `json:"detail,omitempty"`
	// RetryAt is absent when another gateway is tried instead.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// OperationDeclined records a decline after which another gateway is tried, so that it doesn't end
// the payment.
type OperationDeclined struct {
	Attempt
	Decline
}

// OperationPending records that the gateway has taken the operation and will finish it later.
type OperationPending struct {
	Attempt
	GatewayReference string    `json:"gateway_reference,omitempty"`
	NextCheckAt      time.Time `json:"next_check_at"`
}

// OperationChecked records that asking again brought no answer.
type OperationChecked struct {
	Attempt
	Outcome     OutcomeKind `json:"outcome"`
	Detail      string      `json:"detail,omitempty"`
	NextCheckAt time.Time   `json:"next_check_at,omitzero"`
}
