package messages

import (
	"time"

	"github.com/google/uuid"
)

// OperationKind is what a gateway is asked to do.
type OperationKind string

// The kinds of operation.
const (
	OperationAuthorize OperationKind = "authorize"
	// OperationConfirm completes an authorization after the customer's action.
	OperationConfirm OperationKind = "confirm"
	OperationCapture OperationKind = "capture"
	OperationVoid    OperationKind = "void"
	OperationRefund  OperationKind = "refund"
)

// Operation is one request to a gateway.
type Operation struct {
	// ID is the operation's id, "<payment_id>-<n>", and its idempotency key at the gateway: the
	// same for every attempt.
	ID        string        `json:"operation_id"`
	Kind      OperationKind `json:"kind"`
	Tenant    string        `json:"tenant"`
	PaymentID uuid.UUID     `json:"payment_id"`
	// Gateway names the gateway that is asked; it never changes for an operation.
	Gateway string `json:"gateway"`
	// Attempt counts from 1.
	Attempt     int    `json:"attempt"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
	// PaymentMethod is set for authorize.
	PaymentMethod string `json:"payment_method,omitempty"`
	// Capture asks an authorize or confirm to capture at once.
	Capture bool `json:"capture,omitempty"`
	// Final asks a capture to release what is left.
	Final bool `json:"final,omitempty"`
	// GatewayReference is the gateway's own id of the authorization, for everything that follows
	// it.
	GatewayReference  string       `json:"gateway_reference,omitempty"`
	MerchantReference string       `json:"merchant_reference,omitempty"`
	CustomerID        string       `json:"customer_id,omitempty"`
	Reason            RefundReason `json:"reason,omitempty"`
}

// OutcomeKind classifies a gateway's answer.
type OutcomeKind string

// The kinds of outcome. Everything that is not proven is OutcomeUnknown.
const (
	OutcomeSucceeded      OutcomeKind = "succeeded"
	OutcomeDeclined       OutcomeKind = "declined"
	OutcomeRequiresAction OutcomeKind = "requires_action"
	// OutcomePending means the gateway has accepted the operation and will finish it later.
	OutcomePending OutcomeKind = "pending"
	// OutcomeNotSent means it is proven that the gateway never received the request.
	OutcomeNotSent OutcomeKind = "not_sent"
	// OutcomeUnknown means that the gateway may or may not have done it.
	OutcomeUnknown OutcomeKind = "unknown"
	// OutcomeNotFound answers a lookup only: the gateway knows no such operation now. It may yet
	// arrive there.
	OutcomeNotFound OutcomeKind = "not_found"
)

// DeclineClass says what may follow a decline.
type DeclineClass string

// The classes of decline.
const (
	DeclineNeverRetry  DeclineClass = "never_retry"
	DeclineFixData     DeclineClass = "fix_data"
	DeclineStepUp      DeclineClass = "step_up"
	DeclineSoft        DeclineClass = "soft"
	DeclineLookUpFirst DeclineClass = "look_up_first"
)

// RecommendedAction is advice to the producer after a decline.
type RecommendedAction string

// The recommended actions.
const (
	ActionDoNotRetry                 RecommendedAction = "do_not_retry"
	ActionRetryLater                 RecommendedAction = "retry_later"
	ActionRetryAfter1Hour            RecommendedAction = "retry_after_1_hour"
	ActionRetryAfter24Hours          RecommendedAction = "retry_after_24_hours"
	ActionRetryAfter2Days            RecommendedAction = "retry_after_2_days"
	ActionRetryAfter4Days            RecommendedAction = "retry_after_4_days"
	ActionRetryAfter6Days            RecommendedAction = "retry_after_6_days"
	ActionRetryAfter8Days            RecommendedAction = "retry_after_8_days"
	ActionRetryAfter10Days           RecommendedAction = "retry_after_10_days"
	ActionRetryAfterInstrumentUpdate RecommendedAction = "retry_after_instrument_update"
	ActionRetryWithDifferentMethod   RecommendedAction = "retry_with_different_payment_method"
	ActionStopRecurring              RecommendedAction = "stop_recurring"
)

// NextAction is what the customer has to do before the payment can go on.
type NextAction struct {
	// Type is "redirect" or "three_d_secure".
	Type string `json:"type"`
	// URL is the page to send the customer to; an https URL.
	URL string `json:"url,omitempty"`
	// ClientSecret is the value with which the gateway's own library goes on in the customer's
	// browser, such as Stripe.js; "" where the gateway needs none.
	ClientSecret string `json:"client_secret,omitempty"`
}

// RestScope says what a gateway's wish to be left alone is about.
type RestScope string

// The scopes of a rest.
const (
	// RestOperation: the gateway cannot take this operation now; it takes others.
	RestOperation RestScope = "operation"
	// RestGateway: the gateway takes no calls at all, or its circuit breaker is open.
	RestGateway RestScope = "gateway"
	// RestCredentials: the gateway takes no calls with these credentials.
	RestCredentials RestScope = "credentials"
	// RestLocal: this process had no free place or no rate left, and asked no gateway.
	RestLocal RestScope = "local"
)

// AuthorizationState is the state of an authorization at its gateway, as a lookup tells it.
type AuthorizationState struct {
	// CapturedMinor and ReleasedMinor are the sums captured and released so far, in minor units. A
	// lapsed or voided authorization has released all that was not captured.
	CapturedMinor int64 `json:"amount_captured_minor"`
	ReleasedMinor int64 `json:"amount_released_minor"`
}

// Decline is why a gateway refused, as far as it says.
type Decline struct {
	Code               string            `json:"decline_code"`
	Class              DeclineClass      `json:"decline_class"`
	NetworkDeclineCode string            `json:"network_decline_code,omitempty"`
	NetworkAdviceCode  string            `json:"network_advice_code,omitempty"`
	RecommendedAction  RecommendedAction `json:"recommended_action,omitempty"`
}

// Outcome is a gateway's answer to an Operation.
type Outcome struct {
	Kind OutcomeKind `json:"outcome"`
	// GatewayReference is the gateway's id of what it did.
	GatewayReference string `json:"gateway_reference,omitempty"`
	// AmountMinor is the amount the gateway says it moved; 0 if it doesn't say. A success that does
	// not say it proves nothing, but for a void: a void releases the rest.
	AmountMinor int64 `json:"amount_minor,omitempty"`
	// Authorization is the state of the authorization that a lookup of an authorize or a confirm
	// found; nil where the gateway doesn't say.
	Authorization *AuthorizationState `json:"authorization,omitempty"`
	// Decline is set with OutcomeDeclined.
	Decline *Decline `json:"decline,omitempty"`
	// NextAction is set with OutcomeRequiresAction.
	NextAction *NextAction `json:"next_action,omitempty"`
	// CaptureBefore is when the authorization lapses; zero if the gateway doesn't say.
	CaptureBefore time.Time `json:"capture_before,omitzero"`
	// RetryAfter is how long the gateway asks to be left alone; 0 if it doesn't say. Rest says with
	// what; "" where there is nothing to say.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	Rest       RestScope     `json:"rest,omitempty"`
	// Latency is how long the answer took, as the caller measured it.
	Latency time.Duration `json:"-"`
	// Tries counts the calls that were made for this attempt, quick retries included.
	Tries int `json:"tries,omitempty"`
	// Detail explains NotSent, Unknown and NotFound to a person. It holds no secrets and no card
	// data.
	Detail string `json:"detail,omitempty"`
}
