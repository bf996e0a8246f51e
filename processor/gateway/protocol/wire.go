package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// The paths of the protocol. PathOperation is followed by an escaped operation id.
const (
	PathOperations = "/v1/operations"
	PathOperation  = "/v1/operations/"
	PathHealth     = "/healthz"
)

// The headers of the protocol, the same over HTTP and over NATS.
const (
	// HeaderDeadline holds the time until which the client of a request waits, as [FormatDeadline]
	// writes it.
	HeaderDeadline = "Tender-Deadline"
	// HeaderRetryAfter holds the rest that a server asks for, in whole seconds.
	HeaderRetryAfter = "Retry-After"
)

// BodyBytesMax is the longest body either side reads.
const BodyBytesMax = 64 << 10

// Answer is a gateway's account of an operation.
type Answer struct {
	OperationID      string               `json:"operation_id"`
	Outcome          messages.OutcomeKind `json:"outcome"`
	GatewayReference string               `json:"gateway_reference,omitempty"`
	// AmountMinor is the amount that was moved, in minor units of the operation's currency. Every
	// success carries it; that of a void may leave it out. A client takes any other success without
	// an amount for unproven.
	AmountMinor int64 `json:"amount_minor,omitempty"`
	// DeclineCode and the network's own codes come with declined.
	DeclineCode        string `json:"decline_code,omitempty"`
	NetworkDeclineCode string `json:"network_decline_code,omitempty"`
	NetworkAdviceCode  string `json:"network_advice_code,omitempty"`
	// NextAction comes with requires_action.
	NextAction *messages.NextAction `json:"next_action,omitempty"`
	// CaptureBefore is the time at which the authorization lapses.
	CaptureBefore time.Time `json:"capture_before,omitzero"`
	// Authorization is the state of the authorization now. It may come with the answer to a lookup
	// of an authorize or a confirm, and with no other.
	Authorization *messages.AuthorizationState `json:"authorization,omitempty"`
}

// Code is the reason why a server gives no answer.
type Code string

// The codes, each with its one HTTP status.
const (
	CodeInvalidRequest      Code = "invalid_request"
	CodeUnauthorized        Code = "unauthorized"
	CodeOperationNotFound   Code = "operation_not_found"
	CodeInProgress          Code = "in_progress"
	CodeIdempotencyConflict Code = "idempotency_conflict"
	CodeRateLimited         Code = "rate_limited"
	CodeInternal            Code = "internal"
	CodeUnavailable         Code = "unavailable"
	CodeNotDone             Code = "not_done"
)

// Codes returns every code there is.
func Codes() []Code {
	return []Code{
		CodeInvalidRequest, CodeUnauthorized, CodeOperationNotFound, CodeInProgress, CodeIdempotencyConflict, CodeRateLimited,
		CodeInternal, CodeUnavailable, CodeNotDone,
	}
}

// Problem is the body of every answer that is not an [Answer].
type Problem struct {
	Code    Code   `json:"code"`
	Message string `json:"message,omitempty"`
	// Rest says what is to be left alone for as long as Retry-After says: RestOperation,
	// RestGateway or RestCredentials. "" is the scope that goes with the code.
	Rest messages.RestScope `json:"rest,omitempty"`
}

// restScope returns what a rest is about that came with the problem.
func (p Problem) restScope() messages.RestScope {
	switch p.Rest {
	case messages.RestOperation, messages.RestGateway, messages.RestCredentials:
		return p.Rest
	default: // none, or one that is not of the protocol
	}
	switch p.Code {
	case CodeRateLimited, CodeUnavailable, CodeInternal:
		return messages.RestGateway
	case CodeUnauthorized:
		return messages.RestCredentials
	default:
		return messages.RestOperation
	}
}

// envelope is the body of a problem on the wire.
type envelope struct {
	Error *Problem `json:"error"`
}

// Status returns the HTTP status that goes with an answer of this kind, false if there is none.
func Status(kind messages.OutcomeKind) (int, bool) {
	switch kind {
	case messages.OutcomeSucceeded, messages.OutcomeRequiresAction:
		return http.StatusOK, true
	case messages.OutcomePending:
		return http.StatusAccepted, true
	case messages.OutcomeDeclined:
		return http.StatusPaymentRequired, true
	default:
		return 0, false
	}
}

// Status returns the HTTP status that goes with the code, false if the protocol has no such code.
func (c Code) Status() (int, bool) {
	switch c {
	case CodeInvalidRequest:
		return http.StatusBadRequest, true
	case CodeUnauthorized:
		return http.StatusUnauthorized, true
	case CodeOperationNotFound:
		return http.StatusNotFound, true
	case CodeInProgress:
		return http.StatusConflict, true
	case CodeIdempotencyConflict:
		return http.StatusUnprocessableEntity, true
	case CodeRateLimited:
		return http.StatusTooManyRequests, true
	case CodeInternal:
		return http.StatusInternalServerError, true
	case CodeUnavailable:
		return http.StatusServiceUnavailable, true
	case CodeNotDone:
		return http.StatusFailedDependency, true
	default:
		return 0, false
	}
}

// EncodeProblem returns the body of a problem.
func EncodeProblem(p Problem) []byte {
	body, err := json.Marshal(envelope{Error: &p})
	if err != nil {
		panic(fmt.Sprintf("encode a problem of two strings: %v", err))
	}
	return body
}

// DecodeProblem reads the body of a problem. It fails when the body is something else.
func DecodeProblem(body []byte) (Problem, error) {
	var e envelope
	if err := decodeOne(json.NewDecoder(bytes.NewReader(body)), &e); err != nil {
		return Problem{}, fmt.Errorf("decode problem: %w", err)
	}
	if e.Error == nil {
		return Problem{}, errors.New("decode problem: the body has no error")
	}
	return *e.Error, nil
}

// FormatDeadline returns the value of HeaderDeadline.
func FormatDeadline(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// ParseDeadline reads HeaderDeadline; "" is the zero time, for a client that does not say.
func ParseDeadline(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", HeaderDeadline, err)
	}
	return t, nil
}

// decodeOne reads exactly one JSON value.
func decodeOne(decoder *json.Decoder, v any) error {
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("not the JSON that is expected: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
