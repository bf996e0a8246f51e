package stripegw_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

// serve answers every request with the handler.
func serve(t testing.TB, handle http.HandlerFunc) *stripegw.Gateway {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return newGateway(t, stripegw.Config{URL: s.URL})
}

// say answers a request.
func say(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_7")
	w.WriteHeader(status)
	if text, ok := body.(string); ok {
		_, _ = io.WriteString(w, text)
		return
	}
	_ = json.NewEncoder(w).Encode(body)
}

// intentOf is the PaymentIntent of an operation's payment, authorized and not captured unless the
// changes say otherwise.
func intentOf(op messages.Operation, changes object) object {
	pi := object{
		"object": "payment_intent", "id": "pi_9", "status": "requires_capture", "capture_method": "manual",
		"amount": op.AmountMinor, "amount_received": 0, "amount_capturable": op.AmountMinor, "currency": strings.ToLower(op.Currency),
		"metadata":      object{"tender_operation_id": op.ID, "tender_payment_id": op.PaymentID.String(), "tender_tenant": op.Tenant},
		"client_secret": "pi_9_secret_hunter2",
	}
	if op.GatewayReference != "" {
		pi["id"] = op.GatewayReference
	}
	maps.Copy(pi, changes)
	return pi
}

// listed is a page with PaymentIntents.
func listed(intents ...object) object {
	return object{"object": "list", "data": intents, "has_more": false, "url": "/v1/payment_intents"}
}

// found answers lookups of one PaymentIntent, and nothing else.
func found(t testing.TB, pi object) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet:
			t.Errorf("%s %s changes something", r.Method, r.URL.Path)
		case r.URL.Path == "/v1/payment_intents":
			say(w, 200, listed(pi))
		default:
			say(w, 200, pi)
		}
	}
}

// respond answers every request alike.
func respond(body object) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { say(w, 200, body) }
}

// followUp is a payment with an authorization at Stripe.
func followUp() *gatewaytest.Payment {
	p := gatewaytest.NewPayment()
	_ = p.Authorize("pm_card_visa", 1000)
	p.Reference = "pi_9"
	return p
}

// sent holds the parts of a request that matter.
type sent struct {
	Method, Path string
	Form         string
}

func TestRequests(t *testing.T) {
	t.Parallel()
	p := followUp()
	authorize := gatewaytest.NewPayment().Authorize("pm_1", 1999)
	charge := gatewaytest.NewPayment().Charge("pm_1", 1999)
	charge.CustomerID = "cus_42"
	stranger := gatewaytest.NewPayment().Charge("pm_1", 1999)
	stranger.CustomerID = "customer 42"
	partial, final, void, refund, plain := p.Capture(400), p.CaptureFinally(600), p.Void(), p.Refund(250), p.Refund(10)
	refund.Reason = messages.RefundDuplicate
	metadataOf := func(op messages.Operation) string {
		return "metadata[tender_operation_id]=" + op.ID + "&metadata[tender_payment_id]=" + op.PaymentID.String() + "&metadata[tender_tenant]=acme"
	}
	create := func(op messages.Operation, capture, customer, options string) sent {
		return sent{"POST", "/v1/payment_intents", "amount=1999&capture_method=" + capture + "&confirm=true&confirmation_method=manual&currency=usd" +
			customer + "&expand[0]=latest_charge&" + metadataOf(op) + "&payment_method=pm_1" + options +
			"&payment_method_types[0]=card&return_url=https://shop.example/done"}
	}
	for name, c := range map[string]struct {
		op   messages.Operation
		want sent
	}{
		"authorize": {authorize, create(authorize, "manual", "", "&payment_method_options[card][request_multicapture]=if_available")},
		"charge":    {charge, create(charge, "automatic", "&customer=cus_42", "")},
		"charge for a customer of the merchant's": {stranger, create(stranger, "automatic", "", "")},
		"capture":       {partial, sent{"POST", "/v1/payment_intents/pi_9/capture", "amount_to_capture=400&final_capture=false&metadata[tender_capture_2]=400"}},
		"final capture": {final, sent{"POST", "/v1/payment_intents/pi_9/capture", "amount_to_capture=600&metadata[tender_capture_3]=600"}},
		"void":          {void, sent{"POST", "/v1/payment_intents/pi_9/cancel", "expand[0]=latest_charge"}},
		"refund":        {refund, sent{"POST", "/v1/refunds", "amount=250&" + metadataOf(refund) + "&payment_intent=pi_9&reason=duplicate"}},
		"plain refund":  {plain, sent{"POST", "/v1/refunds", "amount=10&" + metadataOf(plain) + "&payment_intent=pi_9"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []sent
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
					t.Errorf("body of %d bytes, encoded %v", r.ContentLength, r.TransferEncoding)
				}
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				form, err := url.QueryUnescape(r.PostForm.Encode())
				if err != nil {
					t.Error(err)
				}
				got = append(got, sent{r.Method, r.URL.Path, form})
				for header, want := range map[string]string{
					"Authorization": "Bearer " + testKey, "Idempotency-Key": "acme/" + c.op.ID, "Stripe-Version": stripe.APIVersion,
					"Stripe-Account": "acct_1", "X-Stripe-Client-Telemetry": "", "X-Stripe-Client-User-Agent": "",
				} {
					if value := r.Header.Get(header); value != want {
						t.Errorf("header %s is %q, want %q", header, value, want)
					}
				}
				if agent := r.Header.Get("User-Agent"); !strings.HasPrefix(agent, "Stripe/v1 GoBindings/") || !strings.HasSuffix(agent, " tender") {
					t.Errorf("user agent is %q", agent)
				}
				say(w, 500, object{"error": object{"type": "api_error"}})
			}))
			t.Cleanup(s.Close)
			g := newGateway(t, stripegw.Config{URL: s.URL, Account: "acct_1", Multicapture: true, ReturnURL: "https://shop.example/done"})
			gatewaytest.Want(t, g.Do(t.Context(), c.op), messages.OutcomeUnknown)
			if diff := cmp.Diff([]sent{c.want}, got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookupsAskOnly(t *testing.T) {
	t.Parallel()
	p := followUp()
	authorize, named := named(t, 0)
	for name, c := range map[string]struct {
		op   messages.Operation
		want sent
	}{
		"authorize": {authorize, sent{"GET", "/v1/payment_intents", fmt.Sprintf("created[gte]=%d&created[lte]=%d&limit=100", named-10, named+60)}},
		"confirm":   {p.Confirm(1000), sent{"GET", "/v1/payment_intents/pi_9", "expand[0]=latest_charge"}},
		"capture":   {p.Capture(100), sent{"GET", "/v1/payment_intents/pi_9", "expand[0]=latest_charge"}},
		"void":      {p.Void(), sent{"GET", "/v1/payment_intents/pi_9", "expand[0]=latest_charge"}},
		"refund":    {p.Refund(100), sent{"GET", "/v1/refunds", "limit=100&payment_intent=pi_9"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, func(w http.ResponseWriter, r *http.Request) {
				query, err := url.QueryUnescape(r.URL.Query().Encode())
				if err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(c.want, sent{r.Method, r.URL.Path, query}); diff != "" {
					t.Errorf("request (-want +got):\n%s", diff)
				}
				say(w, 404, object{"error": object{"type": "invalid_request_error", "code": "resource_missing", "param": "intent"}})
			})
			want := messages.OutcomeNotFound
			if name == "authorize" {
				want = messages.OutcomeUnknown // The list itself is not there.
			}
			gatewaytest.Want(t, g.Lookup(t.Context(), c.op), want)
		})
	}
}
