package stripegw_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

const (
	testKey       = "sk_test_Zm9ydHkgdHdv"
	captureBefore = 1924995723 // 2031-01-01T01:02:03Z
)

// account is an account at Stripe with a memory, which stripe-mock lacks. Every request goes to
// the mock first, which finds fault with behaviour that is not in the description of the API, and
// lends its answers the other fields.
type account struct {
	t testing.TB
	// patience is the number of looks at a challenged PaymentIntent before the customer has
	// authenticated.
	patience int

	mu      sync.Mutex
	intents map[string]object
	refunds []object
	kept    map[string]kept
	// calls are the requests so far, "POST /v1/…".
	calls []string
	// effects counts the movements of money, by kind.
	effects map[string]int
}

type object map[string]any

type kept struct {
	request string
	answer  answer
}

type answer struct {
	status int
	body   object
}

func newAccount(t testing.TB) *account {
	return &account{t: t, intents: make(map[string]object), kept: make(map[string]kept), effects: make(map[string]int)}
}

// open serves the account and returns a gateway to it.
func (a *account) open(t testing.TB) *stripegw.Gateway {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return newGateway(t, stripegw.Config{URL: server.URL, Multicapture: true, ReturnURL: "https://shop.example/done"})
}

func newGateway(t testing.TB, c stripegw.Config) *stripegw.Gateway {
	t.Helper()
	c.APIKey = testKey
	g, err := stripegw.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// forget drops all idempotency keys, as Stripe may after a day.
func (a *account) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.kept)
}

// seen returns the calls since it was last asked.
func (a *account) seen() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls = nil
	return calls
}

func (a *account) effect(kind string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.effects[kind]
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // The client has gone.
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, r.Method+" "+r.URL.Path)
	base := a.checked(r, string(body))
	key := r.Header.Get("Idempotency-Key")
	if (key == "") != (r.Method == http.MethodGet) {
		a.t.Errorf("%s %s with the idempotency key %q", r.Method, r.URL.Path, key)
	}
	request := r.URL.Path + "?" + string(body)
	earlier, replayed := a.kept[key]
	var answered answer
	switch {
	case replayed && earlier.request != request:
		answered = refuse(400, object{"type": "idempotency_error", "message": "Keys can only be used with the same parameters"})
	case replayed:
		w.Header().Set("Idempotent-Replayed", "true")
		answered = earlier.answer
	default:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			a.t.Errorf("body of %s: %v", r.URL.Path, err)
		}
		answered = a.answer(r, form, base)
		if key != "" {
			a.kept[key] = kept{request: request, answer: answered}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", "req_1")
	w.WriteHeader(answered.status)
	_ = json.NewEncoder(w).Encode(answered.body)
}

// checked passes a request to the mock, and returns its answer.
func (a *account) checked(r *http.Request, body string) object {
	a.t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, mockURL+r.URL.RequestURI(), strings.NewReader(body))
	if err != nil {
		a.t.Error(err)
		return object{}
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Content-Length")
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		a.t.Error(err)
		return object{}
	}
	defer func() { _ = response.Body.Close() }()
	var base object
	if err := json.NewDecoder(response.Body).Decode(&base); err != nil || response.StatusCode != http.StatusOK {
		a.t.Errorf("stripe-mock answers %s %s with %d: %v", r.Method, r.URL, response.StatusCode, base["error"])
	}
	return base
}

func (a *account) answer(r *http.Request, form url.Values, base object) answer {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case r.URL.Path == "/v1/payment_intents" && r.Method == http.MethodGet:
		return a.listIntents(r.URL.Query())
	case r.URL.Path == "/v1/payment_intents":
		return a.create(form, base)
	case r.URL.Path == "/v1/refunds" && r.Method == http.MethodPost:
		return a.refund(form, base)
	case r.URL.Path == "/v1/refunds":
		return a.listRefunds(r.URL.Query())
	}
	pi, found := a.intents[path[1]]
	if !found {
		return refuse(404, object{"type": "invalid_request_error", "code": "resource_missing", "param": "intent", "message": "No such payment_intent"})
	}
	switch {
	case len(path) == 2:
		if pi["status"] == "requires_action" {
			if a.patience == 0 {
				pi["status"], pi["next_action"] = "requires_confirmation", nil
			}
			a.patience--
		}
		return answer{200, maps.Clone(pi)}
	case path[2] == "confirm":
		return a.confirm(pi)
	case path[2] == "capture":
		return a.capture(pi, form)
	default:
		return a.cancel(pi)
	}
}

func (a *account) create(form url.Values, base object) answer {
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	if err != nil {
		a.t.Errorf("amount %q", form.Get("amount"))
	}
	pi := maps.Clone(base)
	maps.Copy(pi, object{
		"id": fmt.Sprintf("pi_%d", len(a.intents)+1), "created": time.Now().Unix(), "amount": amount, "amount_received": 0, "amount_capturable": 0,
		"currency": form.Get("currency"), "capture_method": form.Get("capture_method"), "last_payment_error": nil, "next_action": nil,
		"metadata": metadata(form), "status": "requires_confirmation", "client_secret": "pi_1_secret_x", "cancellation_reason": nil,
		"latest_charge": object{"id": "ch_1", "object": "charge", "payment_method_details": object{
			"type": "card", "card": object{"capture_before": captureBefore},
		}},
	})
	a.intents[pi["id"].(string)] = pi
	switch form.Get("payment_method") {
	case "pm_card_threeDSecure2Required":
		pi["status"] = "requires_action"
		pi["next_action"] = object{"type": "redirect_to_url", "redirect_to_url": object{
			"url": "https://hooks.stripe.example/3ds", "return_url": form.Get("return_url"),
		}}
		return answer{200, maps.Clone(pi)}
	case "pm_card_visa_chargeDeclinedInsufficientFunds":
		why := object{"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "network_decline_code": "51"}
		pi["status"], pi["last_payment_error"] = "requires_payment_method", why
		failure := maps.Clone(why)
		failure["payment_intent"] = maps.Clone(pi)
		return refuse(402, failure)
	default:
		return a.confirm(pi)
	}
}

func (a *account) confirm(pi object) answer {
	a.effects["authorize"]++
	if pi["capture_method"] == "automatic" {
		pi["status"], pi["amount_received"] = "succeeded", pi["amount"]
	} else {
		pi["status"], pi["amount_capturable"] = "requires_capture", pi["amount"]
	}
	return answer{200, maps.Clone(pi)}
}

func (a *account) capture(pi object, form url.Values) answer {
	asked, err := strconv.ParseInt(form.Get("amount_to_capture"), 10, 64)
	if err != nil {
		a.t.Errorf("amount %q", form.Get("amount_to_capture"))
	}
	capturable := number(pi["amount_capturable"])
	switch {
	case pi["status"] != "requires_capture":
		return unexpectedState(pi)
	case asked > capturable:
		return refuse(400, object{"type": "invalid_request_error", "code": "amount_too_large", "param": "amount_to_capture"})
	}
	a.effects["capture"]++
	marks := maps.Clone(pi["metadata"].(object))
	maps.Copy(marks, metadata(form))
	pi["metadata"] = marks
	pi["amount_received"] = number(pi["amount_received"]) + asked
	pi["amount_capturable"] = capturable - asked
	if form.Get("final_capture") != "false" || asked == capturable {
		pi["status"], pi["amount_capturable"] = "succeeded", 0
	}
	return answer{200, maps.Clone(pi)}
}

func (a *account) cancel(pi object) answer {
	if pi["status"] == "succeeded" || pi["status"] == "canceled" {
		return unexpectedState(pi)
	}
	a.effects["void"]++
	pi["status"], pi["amount_capturable"] = "canceled", 0
	if number(pi["amount_received"]) > 0 {
		pi["status"] = "succeeded"
	}
	return answer{200, maps.Clone(pi)}
}

func (a *account) refund(form url.Values, base object) answer {
	pi, found := a.intents[form.Get("payment_intent")]
	if !found {
		return refuse(404, object{"type": "invalid_request_error", "code": "resource_missing", "param": "payment_intent"})
	}
	asked, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	if err != nil {
		a.t.Errorf("amount %q", form.Get("amount"))
	}
	left := number(pi["amount_received"])
	for _, other := range a.refunds {
		if other["payment_intent"] == pi["id"] {
			left -= number(other["amount"])
		}
	}
	switch {
	case left == 0:
		return refuse(400, object{"type": "invalid_request_error", "code": "charge_already_refunded"})
	case asked > left:
		return refuse(400, object{"type": "invalid_request_error", "param": "amount", "message": "Refund amount is greater than unrefunded amount"})
	}
	a.effects["refund"]++
	refund := maps.Clone(base)
	maps.Copy(refund, object{
		"id": fmt.Sprintf("re_%d", len(a.refunds)+1), "amount": asked, "currency": pi["currency"], "payment_intent": pi["id"],
		"metadata": metadata(form), "status": "succeeded",
	})
	a.refunds = append(a.refunds, refund)
	return answer{200, refund}
}

// listRefunds pages like Stripe, newest first, but three at a time.
func (a *account) listRefunds(query url.Values) answer {
	page, more, after := []object{}, false, query.Get("starting_after")
	for i := len(a.refunds) - 1; i >= 0; i-- {
		refund := a.refunds[i]
		switch {
		case refund["payment_intent"] != query.Get("payment_intent"):
		case after != "":
			if refund["id"] == after {
				after = ""
			}
		case len(page) == 3:
			more = true
		default:
			page = append(page, refund)
		}
	}
	return answer{200, object{"object": "list", "data": page, "has_more": more, "url": "/v1/refunds"}}
}

// listIntents pages like Stripe, newest first, but three at a time.
func (a *account) listIntents(query url.Values) answer {
	bound := func(name string) int64 {
		seconds, err := strconv.ParseInt(query.Get("created["+name+"]"), 10, 64)
		if err != nil {
			a.t.Errorf("a list with %s of %q", name, query.Get("created["+name+"]"))
		}
		return seconds
	}
	from, to := bound("gte"), bound("lte")
	page, more, after := []object{}, false, query.Get("starting_after")
	for i := len(a.intents); i > 0; i-- {
		pi := a.intents[fmt.Sprintf("pi_%d", i)]
		switch created := pi["created"].(int64); {
		case created < from || created > to:
		case after != "":
			if pi["id"] == after {
				after = ""
			}
		case len(page) == 3:
			more = true
		default:
			page = append(page, maps.Clone(pi))
		}
	}
	return answer{200, object{"object": "list", "data": page, "has_more": more, "url": "/v1/payment_intents"}}
}

func unexpectedState(pi object) answer {
	return refuse(400, object{
		"type": "invalid_request_error", "code": "payment_intent_unexpected_state", "payment_intent": maps.Clone(pi), "message": "It cannot be done.",
	})
}

func refuse(status int, failure object) answer { return answer{status, object{"error": failure}} }

// metadata reads the fields metadata[key] of a form.
func metadata(form url.Values) object {
	m := object{}
	for name := range form {
		if key, ok := strings.CutPrefix(name, "metadata["); ok {
			m[strings.TrimSuffix(key, "]")] = form.Get(name)
		}
	}
	return m
}

func number(v any) int64 {
	switch n := v.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	default:
		panic(fmt.Sprintf("%T is no amount", v))
	}
}
