package gateway

import (
	"cmp"

	"github.com/seed-384b1f8a/tender/messages"
)

// ClassifyDecline returns the class of a decline, which rules the steps after it, and the advice
// to the producer. The code is one of Stripe's decline codes or of the refusals in package
// protocol; networkDecline and advice are the card network's own response and advice codes, ""
// where the gateway does not pass them on. The codes are kept as they came.
//
// A duplicate is looked up before anything else. Otherwise the most forbidding source wins:
// Mastercard's advice 03 (do not try again) and 21 (stop recurring) and the responses of Visa's
// category 1 (the issuer will never approve) end it under every code. Mastercard's advice 24 to 30
// says when a soft decline may be tried again.
//
// A code that is not in the table, or a missing code (read as generic_decline), is soft without
// advice. That is safe: nothing repeats a soft decline by itself, while each of the other classes
// rules out a step that may be right. [KnownDecline] tells a gateway's author which codes the
// table lacks.
func ClassifyDecline(code, networkDecline, advice string) messages.Decline {
	code = cmp.Or(code, "generic_decline")
	class, action, known := declineOf(code)
	if !known {
		class = messages.DeclineSoft
	}
	d := messages.Decline{
		Code: code, Class: class, NetworkDeclineCode: networkDecline, NetworkAdviceCode: advice, RecommendedAction: action,
	}
	if d.Class == messages.DeclineLookUpFirst {
		return d // The other codes do not matter: the first request may have gone through.
	}
	if visaNeverApproves(networkDecline) && d.Class != messages.DeclineNeverRetry {
		d.Class, d.RecommendedAction = messages.DeclineNeverRetry, visaAction(networkDecline)
	}
	advise(&d, advice)
	return d
}

// KnownDecline reports whether the table has the code.
func KnownDecline(code string) bool {
	_, _, known := declineOf(code)
	return known
}

// declineOf is the table. Its vocabulary is Stripe's (stripe-go, error.go, DeclineCode), that of
// gateways about payment methods they do not know and, last, that of package protocol.
//
// invalid_request is never retried, and nothing may fail over on it: a second gateway would be
// asked for what the first could not make sense of.
func declineOf(code string) (messages.DeclineClass, messages.RecommendedAction, bool) {
	switch code {
	case "lost_card", "stolen_card", "pickup_card", "fraudulent", "invalid_account", "do_not_try_again", "merchant_blacklist":
		return messages.DeclineNeverRetry, messages.ActionDoNotRetry, true
	case "revocation_of_authorization", "revocation_of_all_authorizations", "stop_payment_order":
		return messages.DeclineNeverRetry, messages.ActionStopRecurring, true

	case "incorrect_number", "invalid_number", "incorrect_cvc", "invalid_cvc", "incorrect_zip", "incorrect_pin", "invalid_pin",
		"invalid_expiry_month", "invalid_expiry_year", "expired_card", "new_account_information_available":
		return messages.DeclineFixData, messages.ActionRetryAfterInstrumentUpdate, true
	case "card_not_supported", "currency_not_supported", "not_permitted", "offline_pin_required", "online_or_offline_pin_required",
		"pin_try_exceeded", "restricted_card", "service_not_allowed", "testmode_decline", "transaction_not_allowed":
		return messages.DeclineFixData, messages.ActionRetryWithDifferentMethod, true
	case "resource_missing", "payment_method_invalid", "invalid_payment_method", "payment_method_not_found", "token_not_found",
		"invalid_token", "token_invalid", "token_expired", "payment_method_not_available", "payment_method_unactivated":
		// The gateway knows no such payment method, or no longer. The payment can go on with
		// another.
		return messages.DeclineFixData, messages.ActionRetryWithDifferentMethod, true

	case "authentication_required":
		// The advice is the payment's next action.
		return messages.DeclineStepUp, "", true

	case "insufficient_funds", "approve_with_id", "card_velocity_exceeded", "issuer_not_available", "no_action_taken",
		"processing_error", "reenter_transaction", "try_again_later", "withdrawal_count_limit_exceeded":
		return messages.DeclineSoft, messages.ActionRetryLater, true
	case "call_issuer", "do_not_honor", "generic_decline", "invalid_amount", "security_violation":
		return messages.DeclineSoft, messages.ActionRetryWithDifferentMethod, true

	case "duplicate_transaction":
		return messages.DeclineLookUpFirst, messages.ActionDoNotRetry, true

	case "invalid_request", "authorization_not_found", "authorization_expired", "authorization_voided", "authentication_pending",
		"already_confirmed", "already_captured", "amount_exceeds_authorized", "amount_exceeds_captured", "nothing_to_void", "refund_failed":
		return messages.DeclineNeverRetry, messages.ActionDoNotRetry, true
	default:
		return "", "", false
	}
}

// visaNeverApproves reports whether a network response is of Visa's category 1. The other networks
// share the two-digit responses among them and mean the same or something as final. Response 14 is
// left out: Visa has moved it to category 3, data quality.
func visaNeverApproves(networkDecline string) bool {
	switch networkDecline {
	case "04", "07", "12", "15", "41", "43", "46", "57", "R0", "R1", "R3":
		return true
	default:
		return false
	}
}

// visaAction returns the advice for a response of category 1: the R responses withdraw the
// customer's standing order.
func visaAction(networkDecline string) messages.RecommendedAction {
	switch networkDecline {
	case "R0", "R1", "R3":
		return messages.ActionStopRecurring
	default:
		return messages.ActionDoNotRetry
	}
}

// advise applies Mastercard's merchant advice code.
func advise(d *messages.Decline, advice string) {
	switch advice {
	case "03":
		d.Class = messages.DeclineNeverRetry
		if d.RecommendedAction != messages.ActionStopRecurring {
			d.RecommendedAction = messages.ActionDoNotRetry
		}
		return
	case "21":
		d.Class, d.RecommendedAction = messages.DeclineNeverRetry, messages.ActionStopRecurring
		return
	}
	if d.Class != messages.DeclineSoft {
		return
	}
	if action := softAdvice(advice); action != "" {
		d.RecommendedAction = action
	}
}

// softAdvice returns the advice of a code on a decline that may be tried again, "" for none.
func softAdvice(advice string) messages.RecommendedAction {
	switch advice {
	case "01":
		return messages.ActionRetryAfterInstrumentUpdate
	case "02":
		return messages.ActionRetryLater
	case "24":
		return messages.ActionRetryAfter1Hour
	case "25":
		return messages.ActionRetryAfter24Hours
	case "26":
		return messages.ActionRetryAfter2Days
	case "27":
		return messages.ActionRetryAfter4Days
	case "28":
		return messages.ActionRetryAfter6Days
	case "29":
		return messages.ActionRetryAfter8Days
	case "30":
		return messages.ActionRetryAfter10Days
	default:
		return ""
	}
}
