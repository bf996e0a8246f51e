package conformance_test

import (
	"net/http"
	"strings"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// insteadOf has declines with a code succeed.
func insteadOf(code string) defect {
	return defect{told: func(s *said) {
		if !s.lookup && strings.Contains(s.body, `"`+code+`"`) {
			s.answers(http.StatusOK, `"outcome":"succeeded","gateway_reference":"made-up"`)
		}
	}}
}

// breach is a defect of a server and the rules that it breaks.
type breach struct {
	name   string
	defect defect
	// breaks begins with the rule that is about the defect.
	breaks []string
	// perhaps lists the rules that it breaks depending on which of two requests is faster.
	perhaps []string
	// silent says that it sends no events.
	silent bool
}

// breaches are all of them. The README of the gateways lists them.
func breaches() []breach {
	return []breach{
		{"gives an authorization no reference", defect{told: func(s *said) {
			if s.op["amount_minor"] == float64(1999) && s.op["capture"] == nil && s.status == http.StatusOK {
				s.answers(http.StatusOK, `"outcome":"succeeded","amount_minor":1999`)
			}
		}}, []string{"charge-succeeds"}, nil, false},
		{"does not compare the amount", ignores("amount_minor"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the currency", ignores("currency"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the payment method", ignores("payment_method"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the capture mark", ignores("capture"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the reference", ignores("gateway_reference"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the kind", ignores("kind"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the final mark", ignores("final"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the reason", ignores("reason"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the payment", ignores("payment_id"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the merchant reference", ignores("merchant_reference"), []string{"key-reuse-refused"}, nil, false},
		{"does not compare the customer", ignores("customer_id"), []string{"key-reuse-refused"}, nil, false},
		{"has one key for all tenants", oneTenant(), []string{"tenants-apart"}, nil, false},
		{"authorizes twice at the same time", twiceAtOnce("authorize", 2000), []string{"race-authorize"}, nil, false},
		{"confirms twice at the same time", twiceAtOnce("confirm", 2000), []string{"race-confirm"}, nil, false},
		{"captures twice at the same time", twiceAtOnce("capture", 800), []string{"race-capture"}, nil, false},
		{"voids twice at the same time", twiceAtOnce("void", 0), []string{"race-void"}, nil, false},
		{"refunds twice at the same time", twiceAtOnce("refund", 700), []string{"race-refund"}, nil, false},
		{"forgets everything on restart", defect{forgets: true}, []string{"restart-remembers"}, nil, false},
		{"captures a tenth more above 50,000", tolerates("amount_exceeds_authorized", 50_000), []string{"over-capture-refused"}, nil, false},
		{"refunds a tenth more above 50,000", tolerates("amount_exceeds_captured", 50_000), []string{"over-refund-refused", "over-capture-refused"}, nil, false},
		{"captures after capture_before", insteadOf("authorization_expired"), []string{"lapsed-not-captured"}, nil, false},
		{"captures and voids at the same time", voidsWhatIsBeingCaptured(), []string{"capture-against-void"}, nil, false},
		{"sends customers to javascript:", says(200, `"url":"https:[^"]*"`, `"url":"javascript:alert(1)"`), []string{"next-action-usable", "replies-as-described"}, nil, false},
		{"sends customers to http:", says(200, `"url":"https:`, `"url":"http:`), []string{"next-action-usable", "replies-as-described"}, nil, false},
		{"has next actions of its own", says(200, `"three_d_secure"`, `"dance"`), []string{"next-action-usable", "replies-as-described"}, nil, false},
		{"does not say how much", says(200, `,"amount_minor":[0-9]+`, ``), []string{"amounts-told"}, nil, false},
		{"says that nothing was moved", says(200, `"amount_minor":[0-9]+`, `"amount_minor":0`), []string{"amounts-told"}, nil, false},
		{"takes the last of two fields", defect{asked: func(s *said) { s.rewritten = true }}, []string{"duplicate-fields"}, nil, false},
		{"answers as text/html", defect{told: func(s *said) { s.contentType = "text/html" }}, []string{"replies-as-described"}, nil, false},
		{"takes any content type", defect{asked: func(s *said) { s.contentType = "application/json" }}, []string{"content-type"}, nil, false},
		{"adds the network's code to a success", says(200, `"outcome":"succeeded"`, `"outcome":"succeeded","network_decline_code":"05"`), []string{"replies-as-described"}, nil, false},
		{"tells old sums of an authorization", says(200, `"authorization":\{[^}]*\}`, `"authorization":{"amount_captured_minor":0,"amount_released_minor":0}`), []string{"lookup-authorization"}, nil, false},
		{"calls the captured voided", says(402, `"nothing_to_void"`, `"authorization_voided"`), []string{"void-after-capture-refused"}, nil, false},
		{"takes a missing payment for none", fills("payment_id", "01980000-0000-7000-8000-000000000001"), []string{"required-fields"}, nil, false},
		{"takes a missing currency for dollars", fills("currency", "USD"), []string{"required-fields"}, nil, false},
		{"looks up without a tenant", looksUpAnyTenant(), []string{"required-fields"}, nil, false},
		{"signs events with another secret", defect{event: func(e *protocol.Event, secret *string) {
			if e.AmountMinor == 1999 {
				*secret = "other"
			}
		}}, []string{"webhook-signed"}, nil, false},
		{"tells another amount than it answers", defect{event: func(e *protocol.Event, _ *string) { e.AmountMinor /= 2 }}, []string{"webhook-tells"}, nil, false},
		{"gives every event one id", defect{event: func(e *protocol.Event, _ *string) { e.ID = "evt_1" }}, []string{"webhook-tells"}, nil, false},
		{"sends events once", defect{deaf: true}, []string{"webhook-repeated"}, []string{"webhook-signed", "webhook-tells"}, false},
		{"sends events again under new ids", newIDs(), []string{"webhook-repeated"}, nil, false},
		{"does every request anew", forgetsKeys(), []string{
			"replay-same-answer", "race-authorize", "race-confirm", "race-capture", "race-void", "race-refund", "key-reuse-refused",
			"lookup-by-key", "lookup-in-progress", "lookup-authorization", "decline-stable", "challenge-confirmed", "slow-request",
			"abandoned-request", "duplicate-fields", "restart-remembers",
		}, nil, true},
		{"captures more than was authorized", insteadOf("amount_exceeds_authorized"), []string{
			"over-capture-refused", "partial-captures", "lookup-by-key", "final-capture-releases", "concurrent-captures",
			"challenge-confirmed", "abandoned-request", "slow-request", "key-reuse-refused",
			"race-capture", "race-confirm", "restart-remembers",
		}, []string{"capture-against-void"}, false},
		{"refunds more than was captured", insteadOf("amount_exceeds_captured"), []string{
			"over-refund-refused", "replay-same-answer", "over-capture-refused", "final-capture-releases", "void-releases",
			"partial-refunds", "concurrent-refunds", "key-reuse-refused", "lapsed-not-captured", "race-authorize", "race-refund",
			"race-void", "restart-remembers",
		}, nil, false},
		{
			"checks refunds that come at the same time one by one",
			refundsAtOnce(),
			[]string{"concurrent-refunds"},
			nil, false,
		},
		{
			"keeps what a final capture should release",
			defect{asked: func(s *said) { delete(s.op, "final") }},
			[]string{"final-capture-releases", "key-reuse-refused"},
			nil, false,
		},
		{
			"captures and refunds in any currency",
			defect{asked: func(s *said) {
				if s.op != nil && s.kind() != "authorize" && s.op["currency"] != nil {
					s.op["currency"] = "USD"
				}
			}},
			[]string{"other-currency-refused", "key-reuse-refused"},
			nil, false,
		},
		{
			"says yes to a void and does nothing",
			defect{asked: func(s *said) {
				if s.kind() == "void" && s.op["gateway_reference"] != nil {
					s.answers(http.StatusOK, `"outcome":"succeeded"`)
				}
			}},
			[]string{
				"void-releases", "lookup-by-key", "final-capture-releases", "void-after-capture-refused", "unknown-reference-refused",
				"required-fields", "capture-against-void", "key-reuse-refused", "lookup-authorization", "race-void",
			},
			nil, true,
		},
		{
			"follows authorizations that do not exist",
			insteadOf("authorization_not_found"),
			[]string{"unknown-reference-refused", "tenants-apart"},
			nil, false,
		},
		{
			"captures before the customer has proven anything",
			insteadOf("authentication_pending"),
			[]string{"challenge-confirmed"},
			nil, false,
		},
		{
			"gives another reason for every decline",
			otherReasons(),
			[]string{"decline-stable"},
			nil, false,
		},
		{
			"does not keep what it declined",
			defect{told: func(s *said) {
				if s.lookup && s.status == http.StatusPaymentRequired {
					s.fails(http.StatusNotFound, protocol.CodeOperationNotFound)
				}
			}},
			[]string{"lookup-by-key", "decline-stable", "restart-remembers"},
			nil, false,
		},
		{
			"takes what it does not know for declined",
			defect{told: func(s *said) {
				if s.lookup && s.status == http.StatusNotFound {
					s.answers(http.StatusPaymentRequired, `"outcome":"declined","decline_code":"generic_decline"`)
				}
			}},
			[]string{"lookup-unknown-key", "credentials", "tenants-apart"},
			[]string{"abandoned-request", "slow-request"},
			false,
		},
		{
			"asks a replica that lags",
			lags(),
			[]string{"lookup-by-key", "lookup-in-progress", "lookup-authorization", "restart-remembers"},
			[]string{"abandoned-request", "slow-request"},
			false,
		},
		{
			"breaks over what is not JSON",
			defect{told: func(s *said) {
				if !s.lookup && s.op == nil && s.status == http.StatusBadRequest {
					s.fails(http.StatusInternalServerError, protocol.CodeInternal)
				}
			}},
			[]string{"invalid-body"},
			nil, false,
		},
		{
			"breaks over fields it does not know",
			defect{told: func(s *said) {
				if s.op["unknown_field"] != nil {
					s.fails(http.StatusInternalServerError, protocol.CodeInternal)
				}
			}},
			[]string{"unknown-field"},
			nil, false,
		},
		{
			"keeps what it refused",
			usesUpKeys(),
			[]string{"invalid-body", "required-fields", "unknown-field", "duplicate-fields", "content-type"},
			nil, false,
		},
		{
			"answers in a status of its own",
			defect{told: func(s *said) {
				if s.status == http.StatusUnprocessableEntity {
					s.status = http.StatusConflict
				}
			}},
			[]string{"replies-as-described", "key-reuse-refused"},
			nil, false,
		},
		{
			"asks for its key to say that it is there",
			defect{told: func(s *said) {
				if s.path == protocol.PathHealth {
					s.fails(http.StatusUnauthorized, protocol.CodeUnauthorized)
				}
			}},
			[]string{"health"},
			nil, false,
		},
	}
}
