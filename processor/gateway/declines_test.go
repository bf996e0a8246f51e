package gateway_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// stripeDeclines is Stripe's whole DeclineCode vocabulary with the decline for each.
func stripeDeclines() map[string]messages.Decline {
	never := func(a messages.RecommendedAction) messages.Decline {
		return messages.Decline{Class: messages.DeclineNeverRetry, RecommendedAction: a}
	}
	fix := func(a messages.RecommendedAction) messages.Decline {
		return messages.Decline{Class: messages.DeclineFixData, RecommendedAction: a}
	}
	soft := func(a messages.RecommendedAction) messages.Decline {
		return messages.Decline{Class: messages.DeclineSoft, RecommendedAction: a}
	}
	const (
		stop   = messages.ActionDoNotRetry
		later  = messages.ActionRetryLater
		update = messages.ActionRetryAfterInstrumentUpdate
		other  = messages.ActionRetryWithDifferentMethod
		end    = messages.ActionStopRecurring
	)
	return map[string]messages.Decline{
		"authentication_required":           {Class: messages.DeclineStepUp},
		"approve_with_id":                   soft(later),
		"call_issuer":                       soft(other),
		"card_not_supported":                fix(other),
		"card_velocity_exceeded":            soft(later),
		"currency_not_supported":            fix(other),
		"do_not_honor":                      soft(other),
		"do_not_try_again":                  never(stop),
		"duplicate_transaction":             {Class: messages.DeclineLookUpFirst, RecommendedAction: stop},
		"expired_card":                      fix(update),
		"fraudulent":                        never(stop),
		"generic_decline":                   soft(other),
		"incorrect_number":                  fix(update),
		"incorrect_cvc":                     fix(update),
		"incorrect_pin":                     fix(update),
		"incorrect_zip":                     fix(update),
		"insufficient_funds":                soft(later),
		"invalid_account":                   never(stop),
		"invalid_amount":                    soft(other),
		"invalid_cvc":                       fix(update),
		"invalid_expiry_month":              fix(update),
		"invalid_expiry_year":               fix(update),
		"invalid_number":                    fix(update),
		"invalid_pin":                       fix(update),
		"issuer_not_available":              soft(later),
		"lost_card":                         never(stop),
		"merchant_blacklist":                never(stop),
		"new_account_information_available": fix(update),
		"no_action_taken":                   soft(later),
		"not_permitted":                     fix(other),
		"offline_pin_required":              fix(other),
		"online_or_offline_pin_required":    fix(other),
		"pickup_card":                       never(stop),
		"pin_try_exceeded":                  fix(other),
		"processing_error":                  soft(later),
		"reenter_transaction":               soft(later),
		"restricted_card":                   fix(other),
		"revocation_of_all_authorizations":  never(end),
		"revocation_of_authorization":       never(end),
		"security_violation":                soft(other),
		"service_not_allowed":               fix(other),
		"stolen_card":                       never(stop),
		"stop_payment_order":                never(end),
		"testmode_decline":                  fix(other),
		"transaction_not_allowed":           fix(other),
		"try_again_later":                   soft(later),
		"withdrawal_count_limit_exceeded":   soft(later),
	}
}

func TestEveryStripeDeclineIsClassified(t *testing.T) {
	t.Parallel()
	for code, want := range stripeDeclines() {
		want.Code = code
		if got := gateway.ClassifyDecline(code, "", ""); got != want {
			t.Errorf("%s is %+v, want %+v", code, got, want)
		}
		if !gateway.KnownDecline(code) {
			t.Errorf("%s is not known", code)
		}
	}
}

func TestProtocolRefusalsAreNeverRetried(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"invalid_request", "authorization_not_found", "authorization_expired", "authorization_voided", "authentication_pending",
		"already_confirmed", "amount_exceeds_authorized", "amount_exceeds_captured", "nothing_to_void", "refund_failed",
	} {
		d := gateway.ClassifyDecline(code, "", "")
		if d.Class != messages.DeclineNeverRetry || d.RecommendedAction != messages.ActionDoNotRetry {
			t.Errorf("%s is %+v, want never_retry, do_not_retry", code, d)
		}
	}
}

func TestUnknownDeclinesAreSoftWithoutAdvice(t *testing.T) {
	t.Parallel()
	want := messages.Decline{Code: "mercury_in_retrograde", Class: messages.DeclineSoft}
	if got := gateway.ClassifyDecline("mercury_in_retrograde", "", ""); got != want {
		t.Errorf("an unknown code is %+v, want %+v", got, want)
	}
	if gateway.KnownDecline("mercury_in_retrograde") {
		t.Error("an unknown code is known")
	}
	if got := gateway.ClassifyDecline("", "", ""); got != gateway.ClassifyDecline("generic_decline", "", "") {
		t.Errorf("no code is %+v, want a generic decline", got)
	}
}

func TestNetworksOverrideTheCode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code, network, advice string
		class                 messages.DeclineClass
		action                messages.RecommendedAction
	}{
		"Mastercard: do not try again":           {"insufficient_funds", "51", "03", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Mastercard: stop recurring":             {"do_not_honor", "05", "21", messages.DeclineNeverRetry, messages.ActionStopRecurring},
		"Mastercard: never, over wrong data":     {"expired_card", "54", "03", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Mastercard: never, over stop recurring": {"stop_payment_order", "R0", "03", messages.DeclineNeverRetry, messages.ActionStopRecurring},
		"Mastercard: new account information":    {"do_not_honor", "05", "01", messages.DeclineSoft, messages.ActionRetryAfterInstrumentUpdate},
		"Mastercard: later":                      {"do_not_honor", "05", "02", messages.DeclineSoft, messages.ActionRetryLater},
		"Mastercard: in 1 hour":                  {"insufficient_funds", "51", "24", messages.DeclineSoft, messages.ActionRetryAfter1Hour},
		"Mastercard: in 24 hours":                {"insufficient_funds", "51", "25", messages.DeclineSoft, messages.ActionRetryAfter24Hours},
		"Mastercard: in 2 days":                  {"insufficient_funds", "51", "26", messages.DeclineSoft, messages.ActionRetryAfter2Days},
		"Mastercard: in 4 days":                  {"insufficient_funds", "51", "27", messages.DeclineSoft, messages.ActionRetryAfter4Days},
		"Mastercard: in 6 days":                  {"insufficient_funds", "51", "28", messages.DeclineSoft, messages.ActionRetryAfter6Days},
		"Mastercard: in 8 days":                  {"insufficient_funds", "51", "29", messages.DeclineSoft, messages.ActionRetryAfter8Days},
		"Mastercard: in 10 days":                 {"insufficient_funds", "51", "30", messages.DeclineSoft, messages.ActionRetryAfter10Days},
		"a time does not soften a final code":    {"stolen_card", "43", "25", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"a time does not mend wrong data":        {"incorrect_cvc", "82", "25", messages.DeclineFixData, messages.ActionRetryAfterInstrumentUpdate},
		"an unknown advice changes nothing":      {"insufficient_funds", "51", "99", messages.DeclineSoft, messages.ActionRetryLater},
		"Visa: pick up card":                     {"do_not_honor", "04", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: pick up card, special":            {"do_not_honor", "07", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: invalid transaction":              {"do_not_honor", "12", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: no such issuer":                   {"do_not_honor", "15", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: lost":                             {"do_not_honor", "41", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: stolen":                           {"generic_decline", "43", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: closed account":                   {"generic_decline", "46", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: not permitted to the cardholder":  {"transaction_not_allowed", "57", "", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
		"Visa: stop payment order":               {"generic_decline", "R0", "", messages.DeclineNeverRetry, messages.ActionStopRecurring},
		"Visa: revocation of one":                {"generic_decline", "R1", "", messages.DeclineNeverRetry, messages.ActionStopRecurring},
		"Visa: revocation of all":                {"generic_decline", "R3", "", messages.DeclineNeverRetry, messages.ActionStopRecurring},
		"Visa: data quality is not final":        {"incorrect_number", "14", "", messages.DeclineFixData, messages.ActionRetryAfterInstrumentUpdate},
		"Visa: insufficient funds is not final":  {"insufficient_funds", "51", "", messages.DeclineSoft, messages.ActionRetryLater},
		"Visa: never, with a time besides":       {"generic_decline", "04", "24", messages.DeclineNeverRetry, messages.ActionDoNotRetry},
	} {
		want := messages.Decline{
			Code: c.code, Class: c.class, NetworkDeclineCode: c.network, NetworkAdviceCode: c.advice, RecommendedAction: c.action,
		}
		if got := gateway.ClassifyDecline(c.code, c.network, c.advice); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// TestOursABadPaymentMethodAsksForAnother holds that a payment method which a gateway does not know
// is the customer's to replace, and that a request which makes no sense is not.
func TestOursABadPaymentMethodAsksForAnother(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"resource_missing", "payment_method_invalid", "token_not_found", "invalid_payment_method", "payment_method_not_found",
		"invalid_token", "token_invalid", "token_expired", "payment_method_not_available", "payment_method_unactivated",
	} {
		want := messages.Decline{Code: code, Class: messages.DeclineFixData, RecommendedAction: messages.ActionRetryWithDifferentMethod}
		if got := gateway.ClassifyDecline(code, "", ""); got != want || !gateway.KnownDecline(code) {
			t.Errorf("%s is %+v, want %+v", code, got, want)
		}
	}
	if d := gateway.ClassifyDecline("invalid_request", "", ""); d.Class != messages.DeclineNeverRetry {
		t.Errorf("invalid_request is %+v, want never_retry", d)
	}
}
