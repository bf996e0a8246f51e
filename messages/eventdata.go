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
	// and Reason why it may: "not_sent", "declined" or "fallback_refused". Both are absent for a
	// first choice; "retry" alone is a soft decline's next attempt.
	PreviousOperationID string `json:"previous_operation_id,omitempty"`
	Reason              string `json:"reason,omitempty"`
}

// Why an authorization may be tried at another gateway.
const (
	FailoverNotSent  = "not_sent"
	FailoverDeclined = "declined"
	// FailoverRefused is the reason of the way back from a fallback that does not know the payment
	// method.
	FailoverRefused = "fallback_refused"
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

// PaymentProcessing says that the gateway has taken an operation and finishes it later. Its money
// stays reserved.
type PaymentProcessing struct {
	Attempt
	Kind             OperationKind `json:"kind"`
	AmountMinor      int64         `json:"amount_minor"`
	GatewayReference string        `json:"gateway_reference,omitempty"`
	// NextCheckAt is when the gateway is first asked. After that it is asked after twice as long
	// each time, up to half a day.
	NextCheckAt time.Time `json:"next_check_at"`
}

// PaymentConfirmFailed says that a confirmation never reached the gateway and was given up. The
// payment waits for its customer as before, until the time that payment.action_required names.
type PaymentConfirmFailed struct {
	Attempt
	Failure
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
	// AmountMinor is the amount that is booked, and AmountExcessMinor the amount that the gateway
	// authorized beyond it.
	AmountMinor       int64 `json:"amount_minor"`
	AmountExcessMinor int64 `json:"amount_excess_minor,omitempty"`
	// GatewayReference is the gateway's id of the authorization.
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
	// Claimed says that the gateway reported a success that proves nothing: it named no amount.
	Claimed bool `json:"claimed,omitempty"`
	// Refused is the decline of a void. It does not say what became of the authorization: Tender
	// asks.
	Refused *Decline `json:"refused,omitempty"`
}

// PaymentOutcomeResolved ends an unknown outcome or a review. The event that follows it says what
// the answer means.
type PaymentOutcomeResolved struct {
	Attempt
	Kind    OperationKind `json:"kind"`
	Outcome OutcomeKind   `json:"outcome"`
	// AmountMinor is the amount that an operator found to have moved.
	AmountMinor int64 `json:"amount_minor,omitempty"`
	// Accepted says that the record stays as it is: a person takes note of money that moved and
	// that can neither be booked nor given back.
	Accepted bool `json:"accepted,omitempty"`
	// ResolvedBy is "gateway" or "operator".
	ResolvedBy string `json:"resolved_by"`
	Actor      string `json:"actor,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Evidence   string `json:"evidence,omitempty"`
}

// PaymentCaptured moves money. With automatic capture it authorizes the amount as well.
type PaymentCaptured struct {
	Attempt
	// AmountMinor is the amount that is booked, and AmountExcessMinor the amount that the gateway
	// captured beyond it.
	AmountMinor       int64 `json:"amount_minor"`
	AmountExcessMinor int64 `json:"amount_excess_minor,omitempty"`
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
	// AmountMinor is the booked amount that was taken back, and AmountExcessMinor the part of an
	// excess.
	AmountMinor       int64 `json:"amount_minor"`
	AmountExcessMinor int64 `json:"amount_excess_minor,omitempty"`
	// AmountCapturedMinor is the payment's total after this reversal.
	AmountCapturedMinor int64 `json:"amount_captured_minor"`
	// AmountShortfallMinor is the amount that was refunded or disputed and is not covered by
	// captured money any more.
	AmountShortfallMinor int64 `json:"amount_shortfall_minor,omitempty"`
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
	// AmountExcessMinor is the amount that the gateway reports to have moved beyond what is booked
	// of the operation, and GatewayReference its id of it.
	AmountExcessMinor int64  `json:"amount_excess_minor,omitempty"`
	GatewayReference  string `json:"gateway_reference,omitempty"`
	// Claimed says that the gateway reported a success that proves nothing: it named no amount.
	Claimed bool `json:"claimed,omitempty"`
}

// The reasons of reviews.
const (
	// ReviewUnknown: the gateway could not be brought to say what happened.
	ReviewUnknown = "outcome_unknown"
	// ReviewContradiction: the gateway says the opposite of what is recorded.
	ReviewContradiction = "contradiction"
	// ReviewAmount: the gateway moved another amount than it was asked for.
	ReviewAmount = "amount_mismatch"
	// ReviewReversal: money was taken back that had been given to the customer already.
	ReviewReversal = "reversal"
	// ReviewDispute: a dispute was lost over money that had been refunded.
	ReviewDispute = "dispute"
	// ReviewVoidRefused: the gateway refused a void, and nothing proves what it did instead.
	ReviewVoidRefused = "void_refused"
	// ReviewOverdue: the gateway has processed an operation for longer than it may.
	ReviewOverdue = "processing_overdue"
)

// PaymentCompensated gives back what an operation had moved beyond what may be booked.
type PaymentCompensated struct {
	Attempt
	// CompensatesOperationID is the operation whose excess was given back.
	CompensatesOperationID string `json:"compensates_operation_id"`
	// Kind is void or refund.
	Kind             OperationKind `json:"kind"`
	AmountMinor      int64         `json:"amount_minor"`
	GatewayReference string        `json:"gateway_reference,omitempty"`
}

// PaymentCompensationFailed leaves the excess as it was.
type PaymentCompensationFailed struct {
	Attempt
	Failure
	CompensatesOperationID string        `json:"compensates_operation_id"`
	Kind                   OperationKind `json:"kind"`
	AmountMinor            int64         `json:"amount_minor"`
}

// RefundCreated reserves captured money for a refund and records that the request may have been
// sent.
type RefundCreated struct {
	Attempt
	// TargetOperationID is the authorization whose money is refunded.
	TargetOperationID string       `json:"target_operation_id"`
	AmountMinor       int64        `json:"amount_minor"`
	Reason            RefundReason `json:"reason,omitempty"`
}

// RefundSucceeded gives money back.
type RefundSucceeded struct {
	Attempt
	// AmountMinor is the amount that is booked, and AmountExcessMinor the amount that the gateway
	// refunded beyond it.
	AmountMinor       int64 `json:"amount_minor"`
	AmountExcessMinor int64 `json:"amount_excess_minor,omitempty"`
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
	Type      EventType `json:"-"`
	DisputeID string    `json:"dispute_id"`
	// OperationID is the authorization whose money is disputed; "" if the payment has none.
	OperationID      string    `json:"operation_id,omitempty"`
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
	// RejectReferenceRequired: the operation has no gateway reference; the command must give it.
	RejectReferenceRequired   RejectionCode = "gateway_reference_required"
	RejectNothingToCompensate RejectionCode = "nothing_to_compensate"
	RejectAmountExceedsExcess RejectionCode = "amount_exceeds_excess"
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
	Kind OperationKind `json:"kind"`
	// TargetOperationID is the operation that this one acts on: the authorization that is captured,
	// confirmed or voided, or the operation that is compensated.
	TargetOperationID string `json:"target_operation_id,omitempty"`
	AmountMinor       int64  `json:"amount_minor"`
	Final             bool   `json:"final,omitempty"`
	Reason            string `json:"reason,omitempty"`
	// Purpose says why Tender sends it of its own accord; "" if a command asked for it.
	Purpose Purpose `json:"purpose,omitempty"`
}

// Purpose says why an operation is sent that no producer asked for.
type Purpose string

// The purposes.
const (
	// PurposeExpireAuthorization voids an authorization that was not captured in time.
	PurposeExpireAuthorization Purpose = "expire_authorization"
	// PurposeExpireAction voids an authorization that the customer did not complete in time.
	PurposeExpireAction Purpose = "expire_action"
	// PurposeCloseAction voids a declined authorization whose page the customer could still
	// complete.
	PurposeCloseAction Purpose = "close_action"
	// PurposeCompensate gives an excess back.
	PurposeCompensate Purpose = "compensate"
)

// OperationNotSent records proof that an attempt never reached the gateway.
type OperationNotSent struct {
	Attempt
	Detail string `json:"detail,omitempty"`
	// RetryAt is absent when another gateway is tried instead.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// OperationDeclined records a decline that does not end the payment by itself: another gateway is
// tried, or the customer's page is closed first.
type OperationDeclined struct {
	Attempt
	Decline
}

// OperationClosed records that a declined authorization can no longer be completed by the customer.
type OperationClosed struct {
	Attempt
}

// OperationChecked records that asking again brought no answer.
type OperationChecked struct {
	Attempt
	Outcome     OutcomeKind `json:"outcome"`
	Detail      string      `json:"detail,omitempty"`
	NextCheckAt time.Time   `json:"next_check_at,omitzero"`
}
