package stripegw_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
)

func failure(kind string, more ...string) object {
	e := object{"type": kind, "message": "why"}
	for i := 0; i < len(more); i += 2 {
		e[more[i]] = more[i+1]
	}
	return object{"error": e}
}

// TestErrors has a row for each error with the outcome that it proves, to an authorize and to the
// lookup of one.
func TestErrors(t *testing.T) {
	t.Parallel()
	const (
		unknown  = messages.OutcomeUnknown
		declined = messages.OutcomeDeclined
		notSent  = messages.OutcomeNotSent
	)
	for name, c := range map[string]struct {
		status int
		body   any
		do     messages.OutcomeKind
		rest   time.Duration
	}{
		"invalid request":            {400, failure("invalid_request_error", "code", "parameter_missing", "param", "amount"), declined, 0},
		"no such payment method":     {404, failure("invalid_request_error", "code", "resource_missing", "param", "payment_method"), declined, 0},
		"request failed":             {402, failure("invalid_request_error"), declined, 0},
		"card declined":              {402, failure("card_error", "code", "card_declined"), declined, 0},
		"card error without 402":     {400, failure("card_error", "code", "card_declined"), unknown, 0},
		"key with other parameters":  {400, failure("idempotency_error"), unknown, 0},
		"bad key":                    {401, failure("invalid_request_error"), notSent, 10 * time.Second},
		"restricted key":             {403, failure("invalid_request_error"), unknown, 0},
		"key in use":                 {409, failure("idempotency_error", "code", "idempotency_key_in_use"), unknown, 7 * time.Second},
		"conflict":                   {409, failure("invalid_request_error"), unknown, 7 * time.Second},
		"rate limit":                 {429, failure("invalid_request_error", "code", "rate_limit"), unknown, 7 * time.Second},
		"lock":                       {429, failure("invalid_request_error", "code", "lock_timeout"), unknown, 7 * time.Second},
		"server error":               {500, failure("api_error"), unknown, 0},
		"server error, a retry told": {503, failure("api_error"), unknown, 7 * time.Second},
		"external dependency":        {424, failure("api_error"), unknown, 0},

		"a gateway in between":       {502, "<html>Bad Gateway</html>", unknown, 7 * time.Second},
		"403 by a firewall":          {403, "<html>Forbidden</html>", unknown, 0},
		"401 by a proxy":             {401, "", unknown, 0},
		"400 by a proxy":             {400, "<html>Bad Request</html>", unknown, 0},
		"an error of no type":        {400, object{"error": object{"message": "why"}}, unknown, 0},
		"an error that is text":      {400, object{"error": "invalid_request_error"}, unknown, 0},
		"a type that is not known":   {400, failure("tomorrow_error"), unknown, 0},
		"an error under 200":         {200, failure("invalid_request_error"), unknown, 0},
		"an empty body":              {200, "", unknown, 0},
		"null":                       {200, "null", unknown, 0},
		"a list":                     {200, "[]", unknown, 0},
		"a page":                     {200, "<html>Welcome</html>", unknown, 0},
		"half an object":             {200, `{"object":"payment_intent","id":"pi_`, unknown, 0},
		"two objects":                {200, `{"object":"payment_intent"}{"object":"payment_intent"}`, unknown, 0},
		"fields of another type":     {200, `{"object":"payment_intent","id":["pi_9"],"amount":"1999"}`, unknown, 0},
		"a fraction of a minor unit": {200, `{"object":"payment_intent","id":"pi_9","amount":19.99}`, unknown, 0},
		"another object":             {200, `{"object":"charge","id":"ch_1"}`, unknown, 0},
		"too long":                   {200, `{"object":"payment_intent","id":"` + strings.Repeat("x", 4<<20) + `"}`, unknown, 0},
		"no content":                 {204, "", unknown, 0},
		"created":                    {201, `{"object":"payment_intent","id":"pi_9"}`, unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := gatewaytest.NewPayment().Authorize("pm_card_visa", 1999)
			requests := 0
			g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				requests++
				if c.rest == 7*time.Second {
					w.Header().Set("Retry-After", "7")
				}
				say(w, c.status, c.body)
			})
			o := g.Do(t.Context(), op)
			if o.Kind != c.do || o.RetryAfter != c.rest {
				t.Errorf("Do is %s (%s) with a rest of %s, want %s and %s", o.Kind, o.Detail, o.RetryAfter, c.do, c.rest)
			}
			if o.Kind == declined && o.Decline == nil {
				t.Error("a decline without a decline")
			}
			if o := g.Lookup(t.Context(), op); o.Kind != unknown || o.Decline != nil {
				t.Errorf("Lookup is %s (%s), want unknown", o.Kind, o.Detail)
			}
			if requests != 2 {
				t.Errorf("%d requests, want one for Do and one for Lookup", requests)
			}
		})
	}
}

// TestAuthorizationStates has a row for each state of a PaymentIntent with its outcome, in the
// answer to an authorize and in a lookup of one.
func TestAuthorizationStates(t *testing.T) {
	t.Parallel()
	manual, automatic := gatewaytest.NewPayment().Authorize("pm_1", 1000), gatewaytest.NewPayment().Charge("pm_1", 1000)
	decline := func(code string) string { return "declined " + code }
	for name, c := range map[string]struct {
		op      messages.Operation
		changes object
		want    string
	}{
		"authorized":                    {manual, object{}, "succeeded"},
		"authorized, captured since":    {manual, object{"status": "succeeded", "amount_received": 400}, "succeeded"},
		"charged":                       {automatic, object{"status": "succeeded", "capture_method": "automatic", "amount_received": 1000}, "succeeded"},
		"charged at once, not asked to": {manual, object{"status": "succeeded", "capture_method": "automatic"}, "unknown"},
		"not charged, although asked":   {automatic, object{"capture_method": "automatic"}, "unknown"},
		"left for capture":              {automatic, object{}, "unknown"},
		"requires action":               {manual, object{"status": "requires_action"}, "requires_action"},
		"to be confirmed":               {manual, object{"status": "requires_confirmation"}, "requires_action"},
		"processing":                    {manual, object{"status": "processing"}, "pending"},
		"canceled":                      {manual, object{"status": "canceled", "cancellation_reason": "abandoned"}, decline("authorization_voided")},
		"expired":                       {manual, object{"status": "canceled", "cancellation_reason": "automatic"}, decline("authorization_expired")},
		"declined": {manual, object{"status": "requires_payment_method", "last_payment_error": object{
			"type": "card_error", "code": "card_declined", "decline_code": "lost_card",
		}}, decline("lost_card")},
		"not authenticated": {manual, object{"status": "requires_payment_method", "last_payment_error": object{
			"type": "invalid_request_error", "code": "payment_intent_authentication_failure",
		}}, decline("payment_intent_authentication_failure")},
		"never tried":        {manual, object{"status": "requires_payment_method", "last_payment_error": nil}, "unknown"},
		"a state of its own": {manual, object{"status": "requires_patience"}, "unknown"},
		"another operation": {manual, object{"metadata": object{
			"tender_operation_id": manual.PaymentID.String() + "-2", "tender_payment_id": manual.PaymentID.String(),
		}}, "unknown"},
		"another payment":  {manual, object{"metadata": object{"tender_operation_id": manual.ID, "tender_payment_id": "other", "tender_tenant": "acme"}}, "unknown"},
		"no metadata":      {manual, object{"metadata": object{}}, "unknown"},
		"another currency": {manual, object{"currency": "eur"}, "unknown"},
		"no id":            {manual, object{"id": ""}, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pi := intentOf(c.op, c.changes)
			do := serve(t, func(w http.ResponseWriter, _ *http.Request) { say(w, 200, pi) }).Do(t.Context(), c.op)
			if got := verdictOf(do); got != c.want {
				t.Errorf("Do is %s (%s), want %s", got, do.Detail, c.want)
			}
			lookup := serve(t, found(t, pi)).Lookup(t.Context(), c.op)
			switch name {
			case "no id":
				do.Detail, lookup.Detail = "", ""
			case "another operation", "no metadata": // The list does not hold the operation's.
				gatewaytest.Want(t, lookup, messages.OutcomeNotFound)
				return
			}
			lookup.Authorization = nil // Of no answer to Do.
			if diff := cmp.Diff(do, lookup); diff != "" {
				t.Errorf("Lookup differs (-do +lookup):\n%s", diff)
			}
		})
	}
}

func verdictOf(o messages.Outcome) string {
	if o.Decline != nil {
		return string(o.Kind) + " " + o.Decline.Code
	}
	return string(o.Kind)
}

// TestErrorAgainstTheState: an error that comes with a PaymentIntent that is authorized is not the
// last word.
func TestErrorAgainstTheState(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"succeeded", "requires_capture", "processing"} {
		for code, kind := range map[int]string{400: "invalid_request_error", 402: "card_error"} {
			op := gatewaytest.NewPayment().Authorize("pm_1", 1000)
			g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				body := failure(kind)
				body["error"].(object)["payment_intent"] = intentOf(op, object{"status": status})
				say(w, code, body)
			})
			gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeUnknown)
		}
	}
}

// TestRefusals has a row for each refused capture, void or refund with its outcome, by the state
// that comes with it or is read afterwards.
func TestRefusals(t *testing.T) {
	t.Parallel()
	p := followUp()
	capture, final, void, refund := p.Capture(400), p.CaptureFinally(400), p.Void(), p.Refund(400)
	const state = "payment_intent_unexpected_state"
	marked := func(op messages.Operation, received int64) object {
		number := op.ID[strings.LastIndex(op.ID, "-")+1:]
		return object{"status": "succeeded", "amount_received": received, "metadata": object{
			"tender_payment_id": op.PaymentID.String(), "tender_capture_" + number: "400",
		}}
	}
	for name, c := range map[string]struct {
		op      messages.Operation
		code    string
		changes object
		want    string
	}{
		"capture of too much":           {capture, "amount_too_large", nil, "declined amount_exceeds_authorized"},
		"capture too late":              {capture, "charge_expired_for_capture", nil, "declined authorization_expired"},
		"capture of what is unknown":    {capture, "resource_missing", nil, "declined authorization_not_found"},
		"capture, for another reason":   {capture, "parameter_unknown", nil, "declined invalid_request"},
		"capture of what is captured":   {capture, state, object{"status": "succeeded", "amount_received": 1000}, "declined amount_exceeds_authorized"},
		"capture of what is voided":     {capture, state, object{"status": "canceled"}, "declined authorization_voided"},
		"capture of what has expired":   {capture, state, object{"status": "canceled", "cancellation_reason": "expired"}, "declined authorization_expired"},
		"capture before the customer":   {capture, state, object{"status": "requires_action"}, "declined authentication_pending"},
		"capture while processing":      {capture, state, object{"status": "processing"}, "declined invalid_request"},
		"capture that was done":         {final, state, marked(final, 400), "succeeded"},
		"capture that is half done":     {final, state, marked(final, 100), "unknown"},
		"capture of another payment":    {capture, state, object{"metadata": object{"tender_payment_id": "other"}}, "unknown"},
		"void of what is captured":      {void, state, object{"status": "succeeded"}, "declined already_captured"},
		"void of what is voided":        {void, state, object{"status": "canceled"}, "declined authorization_voided"},
		"void of what has expired":      {void, state, object{"status": "canceled", "cancellation_reason": "automatic"}, "declined authorization_expired"},
		"void while processing":         {void, state, object{"status": "processing"}, "declined invalid_request"},
		"refund of a disputed charge":   {refund, "charge_disputed", nil, "declined refund_failed"},
		"refund without funds":          {refund, "balance_insufficient", nil, "declined refund_failed"},
		"refund of what is unknown":     {refund, "resource_missing", nil, "declined authorization_not_found"},
		"refund, for another reason":    {refund, "parameter_unknown", nil, "declined invalid_request"},
		"refund of what is not there":   {refund, state, nil, "declined invalid_request"},
		"refund of what was given back": {refund, "charge_already_refunded", nil, "declined amount_exceeds_captured"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, inError := range []bool{true, false} {
				pi := intentOf(c.op, object{"amount": 1000, "amount_capturable": 0})
				for key, value := range c.changes {
					pi[key] = value
				}
				g := serve(t, func(w http.ResponseWriter, r *http.Request) {
					body := failure("invalid_request_error", "code", c.code)
					switch {
					case strings.HasPrefix(r.URL.Path, "/v1/refunds") && r.Method == http.MethodGet:
						say(w, 200, object{"object": "list", "data": []object{}, "has_more": false})
					case r.Method == http.MethodGet:
						say(w, 200, pi)
					case inError && c.changes != nil:
						body["error"].(object)["payment_intent"] = pi
						say(w, 400, body)
					default:
						say(w, 400, body)
					}
				})
				if o := g.Do(t.Context(), c.op); verdictOf(o) != c.want {
					t.Errorf("with the state in the error %t: %s (%s), want %s", inError, verdictOf(o), o.Detail, c.want)
				}
			}
		})
	}
}

// TestOursAPaymentMethodThatStripeDoesNotKnow asks for another one, and does not end the payment.
func TestOursAPaymentMethodThatStripeDoesNotKnow(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"resource_missing": "resource_missing", "": "payment_method_invalid"} {
		g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			say(w, 400, failure("invalid_request_error", "code", code, "param", "payment_method"))
		})
		o := g.Do(t.Context(), gatewaytest.NewPayment().Authorize("pm_1", 1000))
		if verdictOf(o) != "declined "+want || o.Decline.Class != messages.DeclineFixData || o.Decline.RecommendedAction != messages.ActionRetryWithDifferentMethod {
			t.Errorf("code %q: %+v, want %s to be fixed with another payment method", code, o, want)
		}
	}
}
