package stripehook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	stripewebhook "github.com/stripe/stripe-go/v85/webhook"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/webhook"
	"github.com/seed-384b1f8a/tender/processor/webhook/stripehook"
)

const (
	secret    = "whsec_test"
	apiKey    = "sk_test_never_shown"
	paymentID = "01980000-0000-7000-8000-000000000001"
	ours      = `"tender_payment_id":"` + paymentID + `","tender_operation_id":"` + paymentID + `-1","tender_tenant":"acme"`
)

// bus keeps the published commands, and counts the dead letters.
type bus struct {
	jetstream.Publisher
	msgs    []*nats.Msg
	letters int
}

func (b *bus) PublishMsg(_ context.Context, msg *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if strings.HasPrefix(msg.Subject, "payments.dlq.") {
		b.letters++
		return &jetstream.PubAck{}, nil
	}
	b.msgs = append(b.msgs, msg)
	return &jetstream.PubAck{}, nil
}

// post sends a body to an endpoint with a Stripe decoder, and returns the status with the
// notifications that came of it.
func post(t *testing.T, c stripehook.Config, body, signature string) (int, []messages.Notify) {
	t.Helper()
	return postTo(t, &bus{}, c, body, signature)
}

func postTo(t *testing.T, b *bus, c stripehook.Config, body, signature string) (int, []messages.Notify) {
	t.Helper()
	decoder, err := stripehook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	handler, err := webhook.NewHandler(b, map[string]webhook.Decoder{"cards": decoder}, webhook.Config{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/cards", strings.NewReader(body))
	if signature != "" {
		request.Header.Set("Stripe-Signature", signature)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	var all []messages.Notify
	for _, msg := range b.msgs {
		cmd, err := messages.DecodeCommand(msg.Subject, msg.Header, msg.Data)
		if err != nil {
			t.Fatal(err)
		}
		if cmd.Tenant != "acme" || cmd.PaymentID.String() != paymentID {
			t.Errorf("%s is about another", msg.Subject)
		}
		n, ok := cmd.Body.(*messages.Notify)
		if !ok || n.Gateway != "cards" || cmd.IdempotencyKey != "cards:"+n.EventID {
			t.Fatalf("%+v", cmd)
		}
		all = append(all, *n)
	}
	return recorder.Code, all
}

func signed(body string, at time.Time, with string) string {
	return stripewebhook.GenerateTestSignedPayload(&stripewebhook.UnsignedPayload{Payload: []byte(body), Secret: with, Timestamp: at}).Header
}

func event(kind, object string) string {
	return fmt.Sprintf(`{"id":"evt_1","object":"event","api_version":"2019-12-03","created":1800000000,"type":%q,"data":{"object":%s}}`, kind, object)
}

func intent(status, rest string) string {
	return fmt.Sprintf(`{"id":"pi_1","object":"payment_intent","status":%q,"currency":"eur","amount":10000,%s}`, status, rest)
}

func notify(kind messages.NotifyKind, change func(*messages.Notify)) messages.Notify {
	n := messages.Notify{
		Gateway: "cards", EventID: "evt_1", Kind: kind, OccurredAt: time.Unix(1800000000, 0).UTC(), GatewayReference: "pi_1",
		OperationID: paymentID + "-1",
	}
	change(&n)
	return n
}

func outcome(kind messages.OutcomeKind, amount int64) messages.Notify {
	return notify(messages.NotifyOutcome, func(n *messages.Notify) { n.Outcome, n.AmountMinor = kind, amount })
}

func declined(code string, class messages.DeclineClass) messages.Notify {
	return notify(messages.NotifyOutcome, func(n *messages.Notify) {
		n.Outcome, n.DeclineCode, n.DeclineClass = messages.OutcomeDeclined, code, class
	})
}

func of(n messages.Notify, operation string) messages.Notify {
	n.OperationID = paymentID + "-" + operation
	return n
}

func TestPaymentIntents(t *testing.T) {
	t.Parallel()
	const (
		succeeded  = "payment_intent.succeeded"
		capturable = "payment_intent.amount_capturable_updated"
		failed     = "payment_intent.payment_failed"
		automatic  = `"amount_received":10000,"capture_method":"automatic","metadata":{` + ours + `}`
		manual     = `"amount_received":%d,"capture_method":"manual","metadata":{` + ours + `%s}`
	)
	for name, c := range map[string]struct {
		kind, object string
		want         []messages.Notify
	}{
		"captured at once": {succeeded, intent("succeeded", automatic), []messages.Notify{outcome(messages.OutcomeSucceeded, 10000)}},
		"authorized": {
			capturable, intent("requires_capture", fmt.Sprintf(manual, 0, "")),
			[]messages.Notify{outcome(messages.OutcomeSucceeded, 10000)},
		},
		"captured in one": {
			succeeded, intent("succeeded", fmt.Sprintf(manual, 4000, `,"tender_capture_2":"4000"`)),
			[]messages.Notify{of(outcome(messages.OutcomeSucceeded, 4000), "2")},
		},
		"captured in parts": {
			capturable, intent("requires_capture", fmt.Sprintf(manual, 7000, `,"tender_capture_2":"4000","tender_capture_10":"3000"`)),
			[]messages.Notify{of(outcome(messages.OutcomeSucceeded, 3000), "10")},
		},
		"a capture under way":        {capturable, intent("requires_capture", fmt.Sprintf(manual, 0, `,"tender_capture_2":"4000"`)), nil},
		"captured outside of Tender": {succeeded, intent("succeeded", fmt.Sprintf(manual, 10000, "")), nil},
		"overtaken":                  {capturable, intent("canceled", fmt.Sprintf(manual, 0, "")), nil},
		"processing":                 {"payment_intent.processing", intent("processing", automatic), []messages.Notify{outcome(messages.OutcomePending, 0)}},
		"canceled on request":        {"payment_intent.canceled", intent("canceled", `"cancellation_reason":"requested_by_customer","metadata":{`+ours+`}`), nil},
		"lapsed": {
			"payment_intent.canceled", intent("canceled", `"cancellation_reason":"automatic","metadata":{`+ours+`}`),
			[]messages.Notify{declined("authorization_expired", messages.DeclineNeverRetry)},
		},
		"requires action": {
			"payment_intent.requires_action",
			intent("requires_action", `"next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://bank.example/3ds"}},"metadata":{`+ours+`}`),
			[]messages.Notify{notify(messages.NotifyOutcome, func(n *messages.Notify) {
				n.Outcome, n.NextActionType, n.NextActionURL = messages.OutcomeRequiresAction, "redirect", "https://bank.example/3ds"
			})},
		},
		"declined": {
			failed, intent("requires_payment_method", `"last_payment_error":{"code":"card_declined","decline_code":"insufficient_funds"},"metadata":{`+ours+`}`),
			[]messages.Notify{declined("insufficient_funds", messages.DeclineSoft)},
		},
		"declined for good": {
			failed, intent("requires_payment_method", `"last_payment_error":{"code":"card_declined","decline_code":"do_not_honor","advice_code":"do_not_try_again"},"metadata":{`+ours+`}`),
			[]messages.Notify{declined("do_not_honor", messages.DeclineNeverRetry)},
		},
		"not authenticated": {
			failed, intent("requires_payment_method", `"last_payment_error":{"code":"payment_intent_authentication_failure"},"metadata":{`+ours+`}`),
			[]messages.Notify{declined("payment_intent_authentication_failure", messages.DeclineFixData)},
		},
		"of another shop":  {succeeded, intent("succeeded", `"amount_received":10000,"capture_method":"automatic","metadata":{}`), nil},
		"of no importance": {"payment_intent.created", intent("requires_confirmation", automatic), nil},
		"of another kind":  {"invoice.paid", `{"id":"in_1"}`, nil},
	} {
		body := event(c.kind, c.object)
		status, got := post(t, stripehook.Config{Secrets: []string{secret}}, body, signed(body, time.Now(), secret))
		if diff := cmp.Diff(c.want, got); status != http.StatusOK || diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", name, status, diff)
		}
	}
}

func TestRefunds(t *testing.T) {
	t.Parallel()
	refund := func(status string) string {
		return event("refund.updated", fmt.Sprintf(`{"id":"re_1","object":"refund","amount":4000,"currency":"eur","status":%q,`+
			`"failure_reason":"lost_or_stolen_card","payment_intent":"pi_1","metadata":{`+ours+`}}`, status))
	}
	about := func(n messages.Notify) messages.Notify {
		n.GatewayReference = "re_1"
		return n
	}
	failed := about(declined("refund_failed", messages.DeclineNeverRetry))
	failed.AmountMinor, failed.Reason = 4000, "lost_or_stolen_card"
	reversed := about(notify(messages.NotifyReversal, func(n *messages.Notify) {
		n.EventID, n.AmountMinor, n.DeclineCode, n.Reason = "evt_1:reversal", 4000, "refund_failed", "lost_or_stolen_card"
	}))
	for status, want := range map[string][]messages.Notify{
		"succeeded":       {about(outcome(messages.OutcomeSucceeded, 4000))},
		"pending":         {about(outcome(messages.OutcomePending, 0))},
		"requires_action": {about(outcome(messages.OutcomePending, 0))},
		"failed":          {failed, reversed},
		"canceled":        {failed, reversed},
	} {
		body := refund(status)
		code, got := post(t, stripehook.Config{Secrets: []string{secret}}, body, signed(body, time.Now(), secret))
		if diff := cmp.Diff(want, got); code != http.StatusOK || diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", status, code, diff)
		}
	}
}

func TestDisputes(t *testing.T) {
	t.Parallel()
	var answer atomic.Pointer[http.HandlerFunc]
	answerWith := func(h http.HandlerFunc) { answer.Store(&h) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/payment_intents/pi_1" || r.Header.Get("Authorization") != "Bearer "+apiKey {
			t.Errorf("%s with %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		(*answer.Load())(w, r)
	}))
	defer server.Close()
	config := stripehook.Config{Secrets: []string{secret}, APIKey: apiKey, URL: server.URL}
	dispute := func(status string) string {
		return event("charge.dispute.updated", fmt.Sprintf(`{"id":"dp_1","object":"dispute","amount":5000,"currency":"isk","reason":"fraudulent",`+
			`"status":%q,"charge":"ch_1","payment_intent":"pi_1","evidence_details":{"due_by":1800600000}}`, status))
	}
	answerWith(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"id":"pi_1","object":"payment_intent","metadata":{`+ours+`}}`)
	})
	for status, want := range map[string]string{
		"needs_response": "opened", "warning_needs_response": "opened", "under_review": "challenged", "warning_under_review": "challenged",
		"won": "won", "lost": "lost", "warning_closed": "canceled", "prevented": "canceled",
	} {
		body := dispute(status)
		code, got := post(t, config, body, signed(body, time.Now(), secret))
		expected := []messages.Notify{notify(messages.NotifyDispute, func(n *messages.Notify) {
			n.OperationID, n.DisputeID, n.DisputeStatus, n.Reason = "", "dp_1", want, "fraudulent"
			n.AmountMinor, n.RespondBefore = 50, time.Unix(1800600000, 0).UTC() // krónur come in hundredths
		})}
		if diff := cmp.Diff(expected, got); code != http.StatusOK || diff != "" {
			t.Errorf("%s: %d (-want +got):\n%s", status, code, diff)
		}
	}

	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int
	}{
		"of another shop": {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"id":"pi_1","metadata":{}}`) }, http.StatusOK},
		"gone": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"error":{"type":"invalid_request_error","code":"resource_missing"}}`)
		}, http.StatusOK},
		"Stripe is down":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, http.StatusServiceUnavailable},
		"the key is wrong":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, http.StatusServiceUnavailable},
		"the answer is of another":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"id":"pi_2"}`) }, http.StatusServiceUnavailable},
		"the connection was dropped": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, http.StatusServiceUnavailable},
	} {
		answerWith(c.answer)
		body := dispute("lost")
		if code, got := post(t, config, body, signed(body, time.Now(), secret)); code != c.status || got != nil {
			t.Errorf("%s: %d with %v, want %d", name, code, got, c.status)
		}
	}
	body := dispute("lost")
	b := &bus{}
	if code, _ := postTo(t, b, stripehook.Config{Secrets: []string{secret}}, body, signed(body, time.Now(), secret)); code != http.StatusOK || b.letters != 1 {
		t.Errorf("without a key it is answered %d", code)
	}
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	body := event("payment_intent.succeeded", intent("succeeded", `"amount_received":10000,"metadata":{`+ours+`}`))
	now := time.Now()
	for name, c := range map[string]struct {
		secrets   []string
		signature string
		status    int
	}{
		"right":               {[]string{secret}, signed(body, now, secret), http.StatusOK},
		"one of two":          {[]string{"whsec_new", secret}, signed(body, now, secret), http.StatusOK},
		"unsigned":            {[]string{secret}, "", http.StatusBadRequest},
		"signed by another":   {[]string{secret}, signed(body, now, "whsec_guess"), http.StatusBadRequest},
		"of another body":     {[]string{secret}, signed(body+" ", now, secret), http.StatusBadRequest},
		"replayed much later": {[]string{secret}, signed(body, now.Add(-6*time.Minute), secret), http.StatusBadRequest},
	} {
		if code, _ := post(t, stripehook.Config{Secrets: c.secrets}, body, c.signature); code != c.status {
			t.Errorf("%s: %d, want %d", name, code, c.status)
		}
	}
	for name, c := range map[string]stripehook.Config{"no secret": {}, "an empty secret": {Secrets: []string{""}}, "a negative age": {Secrets: []string{"a"}, MaxAge: -1}} {
		if _, err := stripehook.New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	metadata := `"metadata":{` + ours + `}`
	for name, body := range map[string]string{
		"not JSON":           "evt",
		"not an event":       `{"object":"payment_intent"}`,
		"no object":          `{"id":"evt_1","object":"event","type":"payment_intent.succeeded"}`,
		"a list":             event("payment_intent.succeeded", `[]`),
		"another payment":    event("payment_intent.succeeded", intent("succeeded", `"metadata":{"tender_payment_id":"x"}`)),
		"another operation":  event("payment_intent.succeeded", intent("succeeded", `"metadata":{"tender_payment_id":"`+paymentID+`","tender_operation_id":"x-1"}`)),
		"no reason":          event("payment_intent.payment_failed", intent("requires_payment_method", metadata)),
		"a mark of nothing":  event("payment_intent.succeeded", intent("succeeded", `"metadata":{`+ours+`,"tender_capture_x":"1"}`)),
		"an unknown status":  event("refund.updated", `{"id":"re_1","status":"sent","amount":1,"currency":"eur",`+metadata+`}`),
		"an unknown amount":  event("refund.updated", `{"id":"re_1","status":"succeeded","amount":1,"currency":"xxx",`+metadata+`}`),
		"half a króna":       event("refund.updated", `{"id":"re_1","status":"succeeded","amount":150,"currency":"isk",`+metadata+`}`),
		"a tenant with dots": event("payment_intent.processing", intent("processing", strings.Replace(metadata, "acme", "a.b", 1))),
	} {
		b := &bus{}
		code, got := postTo(t, b, stripehook.Config{Secrets: []string{secret}}, body, signed(body, time.Now(), secret))
		if code != http.StatusOK || got != nil || b.letters != 1 {
			t.Errorf("%s: %d with %v and %d dead letters", name, code, got, b.letters)
		}
	}
}

func TestOtherAccountsArePassedOver(t *testing.T) {
	t.Parallel()
	body := strings.Replace(event("payment_intent.processing", intent("processing", `"metadata":{`+ours+`}`)),
		`"object":"event"`, `"object":"event","account":"acct_1"`, 1)
	for account, want := range map[string]int{"": 0, "acct_2": 0, "acct_1": 1} {
		if _, got := post(t, stripehook.Config{Secrets: []string{secret}, Account: account}, body, signed(body, time.Now(), secret)); len(got) != want {
			t.Errorf("for account %q %d are taken", account, len(got))
		}
	}
}

// FuzzDecode holds that nothing breaks the decoder, and that it names a payment or nothing.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(event("payment_intent.succeeded", intent("succeeded", `"amount_received":1,"metadata":{`+ours+`,"tender_capture_2":"1"}`))))
	f.Add([]byte(event("refund.failed", `{"status":"failed","metadata":{`+ours+`}}`)))
	f.Add([]byte(event("charge.dispute.created", `{"payment_intent":{"id":"pi_1"}}`)))
	f.Add([]byte(event("payment_intent.requires_action", `null`)))
	decoder, err := stripehook.New(stripehook.Config{Secrets: []string{secret}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		commands, err := decoder.Decode(t.Context(), body)
		if err != nil && (commands != nil || errors.Is(err, webhook.ErrUnavailable)) {
			t.Fatalf("%v with %d commands", err, len(commands))
		}
		for _, cmd := range commands {
			if n, ok := cmd.Body.(*messages.Notify); !ok || n.EventID == "" || cmd.PaymentID == uuid.Nil {
				t.Fatalf("%+v", cmd)
			}
		}
	})
}

// TestOursEventsOfConnectedAccountsAreNotSilent holds that an event of an account that is not the
// configured one is warned about and counted.
func TestOursEventsOfConnectedAccountsAreNotSilent(t *testing.T) {
	t.Parallel()
	body := `{"id":"evt_1","object":"event","account":"acct_9","type":"payment_intent.succeeded","data":{"object":{}}}`
	decoder, err := stripehook.New(stripehook.Config{Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decoder.Decode(t.Context(), []byte(body)); !errors.Is(err, webhook.ErrForeign) || !strings.Contains(err.Error(), "acct_9") {
		t.Errorf("%v, want that it is about another account, with its name", err)
	}
	core, logs := observer.New(zap.WarnLevel)
	var results []webhook.Result
	handler, err := webhook.NewHandler(&bus{}, map[string]webhook.Decoder{"stripe": decoder}, webhook.Config{
		Observe: func(_ string, r webhook.Result) { results = append(results, r) },
	}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
	request.Header.Set("Stripe-Signature", signed(body, time.Now(), secret))
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK || !slices.Equal(results, []webhook.Result{webhook.ResultForeign}) || logs.Len() != 1 {
		t.Errorf("answered %d as %v with %d warnings", recorder.Code, results, logs.Len())
	}
}

// TestOursWhatIsNoEventOfStripesIsUnplaced holds that a signed body which is no event is for a
// person.
func TestOursWhatIsNoEventOfStripesIsUnplaced(t *testing.T) {
	t.Parallel()
	decoder, err := stripehook.New(stripehook.Config{Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{`{}`, `null`, `{"object":"event"}`, `{"id":"evt_1"}`} {
		if _, err := decoder.Decode(t.Context(), []byte(body)); !errors.Is(err, webhook.ErrUnplaced) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
