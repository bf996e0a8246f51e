package messages

import (
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Limits of text fields, in characters.
const (
	tokenLengthMax         = 128
	textLengthMax          = 255
	reasonLengthMax        = 500
	evidenceLengthMax      = 2000
	metadataKeysMax        = 50
	metadataKeyLengthMax   = 40
	metadataValueLengthMax = 500
)

// validateBody checks every field of a command. The decoder and the encoder share it, so that what
// the client sends is what the workers take.
func validateBody(body CommandBody) error {
	switch b := body.(type) {
	case *Create:
		return b.validate()
	case *Confirm:
		return validateToken("payment_method", b.PaymentMethod)
	case *Capture:
		return validateOptionalAmount(b.AmountMinor)
	case *Void:
		return validateText("reason", b.Reason, reasonLengthMax)
	case *Refund:
		return b.validate()
	case *Resume:
		return nil
	case *Resolve:
		return b.validate()
	case *Compensate:
		return b.validate()
	case *Notify:
		return b.validate()
	default:
		return refuse(CodeUnknownCommand, "command", "of type %T is unknown", body)
	}
}

func (c *Create) validate() error {
	// An amount that was given as 0 has been refused by the decoder already, so here 0 is an amount
	// left out.
	return firstError(
		required("amount_minor", c.AmountMinor != 0),
		required("currency", c.Currency != ""),
		Money{AmountMinor: c.AmountMinor, Currency: c.Currency}.Validate(),
		required("payment_method", c.PaymentMethod != ""),
		validateToken("payment_method", c.PaymentMethod),
		validateCaptureMethod(c.CaptureMethod),
		validateText("customer_id", c.CustomerID, textLengthMax),
		validateText("merchant_reference", c.MerchantReference, textLengthMax),
		validateCountry(c.Country),
		validateMetadata(c.Metadata),
		c.Retry.validate(),
	)
}

// retryAttemptsMax is what Visa lets a merchant try one card within 30 days, in its strictest
// reading.
const retryAttemptsMax = 15

func (r *Retry) validate() error {
	switch {
	case r == nil:
		return nil
	case r.MaxAttempts < 2 || r.MaxAttempts > retryAttemptsMax:
		return refuse(CodeInvalidField, "retry.max_attempts", "must be from 2 to %d", retryAttemptsMax)
	default:
		return required("retry.until", !r.Until.IsZero())
	}
}

func (c *Refund) validate() error {
	if err := validateOptionalAmount(c.AmountMinor); err != nil {
		return err
	}
	switch c.Reason {
	case "", RefundDuplicate, RefundFraudulent, RefundRequestedByCustomer:
		return nil
	default:
		return refuse(CodeInvalidField, "reason", "must be duplicate, fraudulent or requested_by_customer, not %s", quote(string(c.Reason)))
	}
}

func (c *Resolve) validate() error {
	return firstError(
		required("operation_id", c.OperationID != ""),
		validateToken("operation_id", c.OperationID),
		required("outcome", c.Outcome != ""),
		validateOutcome(c.Outcome),
		validateOptionalAmount(c.AmountMinor),
		c.validateAmount(),
		required("actor", c.Actor != ""),
		validateText("actor", c.Actor, textLengthMax),
		required("reason", c.Reason != ""),
		validateText("reason", c.Reason, reasonLengthMax),
		validateText("evidence", c.Evidence, evidenceLengthMax),
		validateText("gateway_reference", c.GatewayReference, textLengthMax),
	)
}

// validateAmount refuses an amount beside a failure: a failure moved nothing.
func (c *Resolve) validateAmount() error {
	if c.AmountMinor != nil && c.Outcome == ResolvedFailed {
		return refuse(CodeInvalidField, "amount_minor", "must be absent with the outcome failed")
	}
	return nil
}

func (c *Compensate) validate() error {
	return firstError(
		required("operation_id", c.OperationID != ""),
		validateToken("operation_id", c.OperationID),
		validateOptionalAmount(c.AmountMinor),
		required("actor", c.Actor != ""),
		validateText("actor", c.Actor, textLengthMax),
		required("reason", c.Reason != ""),
		validateText("reason", c.Reason, reasonLengthMax),
	)
}

func (c *Notify) validate() error {
	return firstError(
		required("gateway", c.Gateway != ""),
		validateToken("gateway", c.Gateway),
		required("event_id", c.EventID != ""),
		validateToken("event_id", c.EventID),
		required("kind", c.Kind != ""),
		validateToken("operation_id", c.OperationID),
		validateText("gateway_reference", c.GatewayReference, textLengthMax),
		validateText("decline_code", c.DeclineCode, textLengthMax),
		validateText("next_action_type", c.NextActionType, textLengthMax),
		validateText("next_action_url", c.NextActionURL, evidenceLengthMax),
		validateText("next_action_secret", c.NextActionSecret, textLengthMax),
		validateText("dispute_id", c.DisputeID, textLengthMax),
		validateText("reason", c.Reason, reasonLengthMax),
		validateNotified(c.Outcome),
		validateDeclineClass(c.DeclineClass),
		validateDisputeStatus(c.DisputeStatus),
		c.validateKind(),
	)
}

// validateKind checks what each kind of notification must say.
func (c *Notify) validateKind() error {
	switch c.Kind {
	case NotifyOutcome:
		return required("outcome", c.Outcome != "")
	case NotifyReversal:
		return nil
	case NotifyDispute:
		return firstError(required("dispute_id", c.DisputeID != ""), required("dispute_status", c.DisputeStatus != ""))
	default:
		return refuse(CodeInvalidField, "kind", "must be outcome, reversal or dispute, not %s", quote(string(c.Kind)))
	}
}

func validateNotified(o OutcomeKind) error {
	switch o {
	case "", OutcomeSucceeded, OutcomeDeclined, OutcomeRequiresAction, OutcomePending:
		return nil
	case OutcomeNotSent, OutcomeUnknown, OutcomeNotFound:
	}
	return refuse(CodeInvalidField, "outcome", "must be succeeded, declined, requires_action or pending, not %s", quote(string(o)))
}

func validateDeclineClass(c DeclineClass) error {
	switch c {
	case "", DeclineNeverRetry, DeclineFixData, DeclineStepUp, DeclineSoft, DeclineLookUpFirst:
		return nil
	default:
		return refuse(CodeInvalidField, "decline_class", "must be never_retry, fix_data, step_up, soft or look_up_first, not %s", quote(string(c)))
	}
}

func validateDisputeStatus(status string) error {
	if status != "" && !EventType("dispute."+status).known() {
		return refuse(CodeInvalidField, "dispute_status", "must be that of a dispute event, such as opened or lost, not %s", quote(status))
	}
	return nil
}

func validateOutcome(o ResolvedOutcome) error {
	switch o {
	case ResolvedSucceeded, ResolvedFailed:
		return nil
	default:
		return refuse(CodeInvalidField, "outcome", "must be succeeded or failed, not %s", quote(string(o)))
	}
}

func validateCaptureMethod(m CaptureMethod) error {
	switch m {
	case "", CaptureAutomatic, CaptureManual, CaptureManualMultiple:
		return nil
	default:
		return refuse(CodeInvalidField, "capture_method", "must be automatic, manual or manual_multiple, not %s", quote(string(m)))
	}
}

func validateOptionalAmount(amountMinor *int64) error {
	if amountMinor == nil {
		return nil
	}
	return validateAmount("amount_minor", *amountMinor)
}

// validateCountry checks the shape of an ISO 3166-1 alpha-2 code; which codes exist is for a
// gateway to know.
func validateCountry(country string) error {
	if country == "" {
		return nil
	}
	if len(country) != 2 || country[0] < 'A' || country[0] > 'Z' || country[1] < 'A' || country[1] > 'Z' {
		return refuse(CodeInvalidField, "country", "must be two upper-case letters of ISO 3166, such as DE, not %s", quote(country))
	}
	return nil
}

// validateToken takes visible ASCII without spaces: ids and tokens that gateways and Tender issue.
func validateToken(field, token string) error {
	if len(token) > tokenLengthMax {
		return refuse(CodeInvalidField, field, "is longer than %d characters", tokenLengthMax)
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return refuse(CodeInvalidField, field, "must be of visible ASCII characters without spaces")
		}
	}
	return nil
}

// validateText takes any text without control characters.
func validateText(field, text string, lengthMax int) error {
	switch {
	case utf8.RuneCountInString(text) > lengthMax:
		return refuse(CodeInvalidField, field, "is longer than %d characters", lengthMax)
	case !utf8.ValidString(text):
		return refuse(CodeInvalidUTF8, field, "is not UTF-8")
	case hasControl(text):
		return refuse(CodeInvalidField, field, "holds control characters")
	default:
		return nil
	}
}

func validateMetadata(metadata map[string]string) error {
	if len(metadata) > metadataKeysMax {
		return refuse(CodeInvalidField, "metadata", "has more than %d keys", metadataKeysMax)
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) { // Sorted, so that the same body gives the same error.
		if key == "" {
			return refuse(CodeInvalidField, "metadata", "has an empty key")
		}
		if err := validateText("metadata key "+quote(key), key, metadataKeyLengthMax); err != nil {
			return err
		}
		if err := validateText("metadata["+quote(key)+"]", metadata[key], metadataValueLengthMax); err != nil {
			return err
		}
	}
	return nil
}

func hasControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

func required(field string, present bool) error {
	if !present {
		return refuse(CodeMissingField, field, "is required")
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
