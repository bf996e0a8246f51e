package stripegw_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
)

// issuersCodes are all reasons that stripe-go knows, with the decline for each.
func issuersCodes() map[messages.DeclineClass][]stripe.DeclineCode {
	return map[messages.DeclineClass][]stripe.DeclineCode{
		messages.DeclineNeverRetry: {
			stripe.DeclineCodeDoNotTryAgain, stripe.DeclineCodeFraudulent, stripe.DeclineCodeInvalidAccount, stripe.DeclineCodeLostCard,
			stripe.DeclineCodeMerchantBlacklist, stripe.DeclineCodePickupCard, stripe.DeclineCodeRevocationOfAllAuthorizations,
			stripe.DeclineCodeRevocationOfAuthorization, stripe.DeclineCodeStolenCard, stripe.DeclineCodeStopPaymentOrder,
		},
		messages.DeclineFixData: {
			stripe.DeclineCodeCardNotSupported, stripe.DeclineCodeCurrencyNotSupported, stripe.DeclineCodeExpiredCard,
			stripe.DeclineCodeIncorrectCVC, stripe.DeclineCodeIncorrectNumber, stripe.DeclineCodeIncorrectPIN, stripe.DeclineCodeIncorrectZip,
			stripe.DeclineCodeInvalidCVC, stripe.DeclineCodeInvalidExpiryMonth, stripe.DeclineCodeInvalidExpiryYear,
			stripe.DeclineCodeInvalidNumber, stripe.DeclineCodeInvalidPIN, stripe.DeclineCodeNewAccountInformationAvailable,
			stripe.DeclineCodeNotPermitted, stripe.DeclineCodeOfflinePINRequired, stripe.DeclineCodeOnlineOrOfflinePINRequired,
			stripe.DeclineCodePINTryExceeded, stripe.DeclineCodeRestrictedCard, stripe.DeclineCodeServiceNotAllowed,
			stripe.DeclineCodeTestModeDecline, stripe.DeclineCodeTransactionNotAllowed,
		},
		messages.DeclineStepUp: {stripe.DeclineCodeAuthenticationRequired},
		messages.DeclineSoft: {
			stripe.DeclineCodeApproveWithID, stripe.DeclineCodeCallIssuer, stripe.DeclineCodeCardVelocityExceeded, stripe.DeclineCodeDoNotHonor,
			stripe.DeclineCodeGenericDecline, stripe.DeclineCodeInsufficientFunds, stripe.DeclineCodeInvalidAmount,
			stripe.DeclineCodeIssuerNotAvailable, stripe.DeclineCodeNoActionTaken, stripe.DeclineCodeProcessingError,
			stripe.DeclineCodeReenterTransaction, stripe.DeclineCodeSecurityViolation, stripe.DeclineCodeTryAgainLater,
			stripe.DeclineCodeWithdrawalCountLimitExceeded, "a_code_of_tomorrow",
		},
		messages.DeclineLookUpFirst: {stripe.DeclineCodeDuplicateTransaction},
	}
}

func TestEveryIssuersCode(t *testing.T) {
	t.Parallel()
	capture := followUp().Capture(100)
	for class, codes := range issuersCodes() {
		for _, code := range codes {
			t.Run(string(code), func(t *testing.T) {
				t.Parallel()
				g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					say(w, 402, failure("card_error", "code", "card_declined", "decline_code", string(code)))
				})
				if known := code != "a_code_of_tomorrow"; gateway.KnownDecline(string(code)) != known {
					t.Errorf("the table knows it: %t", !known)
				}
				for _, op := range []messages.Operation{gatewaytest.NewPayment().Authorize("pm_1", 1000), capture} {
					o := g.Do(t.Context(), op)
					gatewaytest.WantDecline(t, o)
					if o.Decline.Code != string(code) || o.Decline.Class != class {
						t.Errorf("%s is declined with %s, %s; want %s", op.Kind, o.Decline.Code, o.Decline.Class, class)
					}
				}
			})
		}
	}
}

func TestDeclinesAreTakenOver(t *testing.T) {
	t.Parallel()
	decline := func(code string, class messages.DeclineClass, action messages.RecommendedAction) messages.Decline {
		return messages.Decline{Code: code, Class: class, RecommendedAction: action}
	}
	network := func(d messages.Decline, declineCode, advice string) messages.Decline {
		d.NetworkDeclineCode, d.NetworkAdviceCode = declineCode, advice
		return d
	}
	const soft, never, fix = messages.DeclineSoft, messages.DeclineNeverRetry, messages.DeclineFixData
	for name, c := range map[string]struct {
		fields []string
		want   messages.Decline
	}{
		"the network's codes": {
			[]string{"code", "card_declined", "decline_code", "insufficient_funds", "network_decline_code", "51", "network_advice_code", "25"},
			network(decline("insufficient_funds", soft, messages.ActionRetryAfter24Hours), "51", "25"),
		},
		"the network forbids it": {
			[]string{"code", "card_declined", "decline_code", "do_not_honor", "network_advice_code", "03"},
			network(decline("do_not_honor", never, messages.ActionDoNotRetry), "", "03"),
		},
		"Visa never approves": {
			[]string{"code", "card_declined", "decline_code", "generic_decline", "network_decline_code", "R1"},
			network(decline("generic_decline", never, messages.ActionStopRecurring), "R1", ""),
		},
		"Stripe forbids it": {
			[]string{"code", "card_declined", "decline_code", "generic_decline", "advice_code", "do_not_try_again"},
			decline("generic_decline", never, messages.ActionDoNotRetry),
		},
		"Stripe forbids what has to be looked up": {
			[]string{"code", "card_declined", "decline_code", "duplicate_transaction", "advice_code", "do_not_try_again"},
			decline("duplicate_transaction", messages.DeclineLookUpFirst, messages.ActionDoNotRetry),
		},
		"Stripe doubts the data": {
			[]string{"code", "card_declined", "decline_code", "do_not_honor", "advice_code", "confirm_card_data"},
			decline("do_not_honor", soft, messages.ActionRetryAfterInstrumentUpdate),
		},
		"Stripe says later": {
			[]string{"code", "card_declined", "decline_code", "do_not_honor", "advice_code", "try_again_later"},
			decline("do_not_honor", soft, messages.ActionRetryLater),
		},
		"Stripe says later, the network when": {
			[]string{"code", "card_declined", "decline_code", "do_not_honor", "advice_code", "try_again_later", "network_advice_code", "24"},
			network(decline("do_not_honor", soft, messages.ActionRetryAfter1Hour), "", "24"),
		},
		"advice does not soften": {
			[]string{"code", "card_declined", "decline_code", "stolen_card", "advice_code", "try_again_later"},
			decline("stolen_card", never, messages.ActionDoNotRetry),
		},
		"a code of the card's data": {
			[]string{"code", "expired_card"}, decline("expired_card", fix, messages.ActionRetryAfterInstrumentUpdate),
		},
		"no reason at all": {
			[]string{"code", "card_declined"}, decline("generic_decline", soft, messages.ActionRetryWithDifferentMethod),
		},
		"not authenticated": {
			[]string{"code", "payment_intent_authentication_failure"},
			decline("payment_intent_authentication_failure", fix, messages.ActionRetryWithDifferentMethod),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := gatewaytest.NewPayment().Authorize("pm_1", 1000)
			body := failure("card_error", c.fields...)
			last := body["error"].(object)
			want := messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &c.want}
			g := serve(t, func(w http.ResponseWriter, _ *http.Request) { say(w, 402, body) })
			if diff := cmp.Diff(want, g.Do(t.Context(), op)); diff != "" {
				t.Errorf("Do (-want +got):\n%s", diff)
			}
			want.GatewayReference = "pi_9"
			pi := intentOf(op, object{"status": "requires_payment_method", "last_payment_error": last})
			if diff := cmp.Diff(want, serve(t, found(t, pi)).Lookup(t.Context(), op)); diff != "" {
				t.Errorf("Lookup (-want +got):\n%s", diff)
			}
		})
	}
}
