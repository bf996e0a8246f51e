package messages

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// DecodeCode names why a message was refused. Codes are part of the contract: they stand in dead
// letters and are counted in metrics, so they never change their meaning.
type DecodeCode string

// The decode codes.
const (
	// CodeInvalidSubject: the subject has not the shape
	// payments.cmd.<tenant>.<command>.<payment_id>.
	CodeInvalidSubject DecodeCode = "invalid_subject"
	// CodeInvalidTenant: the tenant token is not 1 to 64 of a-z, 0-9, "-" and "_", beginning with a
	// letter or digit.
	CodeInvalidTenant DecodeCode = "invalid_tenant"
	// CodeInvalidPaymentID: the payment id token is not a UUID.
	CodeInvalidPaymentID DecodeCode = "invalid_payment_id"
	// CodeUnknownCommand: no such command.
	CodeUnknownCommand DecodeCode = "unknown_command"
	// CodeInvalidHeader: a header says what Tender doesn't speak, contradicts itself or is
	// malformed.
	CodeInvalidHeader DecodeCode = "invalid_header"
	// CodeMissingIdempotencyKey: neither Idempotency-Key nor Nats-Msg-Id is there.
	CodeMissingIdempotencyKey DecodeCode = "missing_idempotency_key"
	// CodeBodyTooLarge: the body has more than BodySizeMax bytes.
	CodeBodyTooLarge DecodeCode = "body_too_large"
	// CodeInvalidUTF8: the body is not UTF-8, or a string in it holds half of a surrogate pair.
	CodeInvalidUTF8 DecodeCode = "invalid_utf8"
	// CodeInvalidJSON: the body is not one JSON object.
	CodeInvalidJSON DecodeCode = "invalid_json"
	// CodeTrailingData: something follows the JSON object.
	CodeTrailingData DecodeCode = "trailing_data"
	// CodeUnknownField: the command has no such field; names are case-sensitive.
	CodeUnknownField DecodeCode = "unknown_field"
	// CodeDuplicateField: a field is given twice.
	CodeDuplicateField DecodeCode = "duplicate_field"
	// CodeMissingField: a required field is missing.
	CodeMissingField DecodeCode = "missing_field"
	// CodeInvalidField: a field has the wrong type, shape, length or an unknown value.
	CodeInvalidField DecodeCode = "invalid_field"
	// CodeUnknownCurrency: the currency is not an ISO 4217 code that Exponent knows.
	CodeUnknownCurrency DecodeCode = "unknown_currency"
	// CodeAmountNotPositive: an amount is zero or negative.
	CodeAmountNotPositive DecodeCode = "amount_not_positive"
	// CodeAmountTooLarge: an amount is greater than AmountMinorMax.
	CodeAmountTooLarge DecodeCode = "amount_too_large"
	// CodeCardNumberPresent: the body or a header holds what looks like a card number.
	CodeCardNumberPresent DecodeCode = "card_number_present"
)

// DecodeError says why a message was refused. It is permanent: the same message will be refused
// again. It never holds a card number, so that it may be logged and put into a dead letter.
type DecodeError struct {
	Code DecodeCode
	// Field is what the error is about: a field of the body, "body", "subject", "tenant",
	// "payment_id", "command" or "header <name>".
	Field string
	// Detail continues the sentence that Field begins.
	Detail string
}

// Error returns one sentence: "amount_minor must be greater than zero".
func (e *DecodeError) Error() string { return e.Field + " " + e.Detail }

// UnknownEventTypeError is returned for an event of a type that this version doesn't know.
// Everything but the data was decoded, so that a consumer can skip the event and still advance its
// version of the payment.
type UnknownEventTypeError struct {
	Type EventType
	// Event has no Data.
	Event Event
}

// Error implements error.
func (e *UnknownEventTypeError) Error() string {
	return fmt.Sprintf("unknown event type %s (payment %s, version %d)", quote(string(e.Type)), e.Event.PaymentID, e.Event.Version)
}

func refuse(code DecodeCode, field, format string, args ...any) error {
	return &DecodeError{Code: code, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// quote makes text from outside fit for an error: masked, short and without control characters.
func quote(s string) string {
	const shown = 40
	masked := string(MaskCardNumbers([]byte(s)))
	if utf8.RuneCountInString(masked) > shown {
		masked = string([]rune(masked)[:shown]) + "…"
	}
	return strconv.QuoteToGraphic(masked)
}
