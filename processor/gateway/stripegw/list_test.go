package stripegw_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
)

// named returns an authorize of a payment whose id was made that long ago, and the second in which
// it was.
func named(t testing.TB, ago time.Duration) (messages.Operation, int64) {
	t.Helper()
	at := time.Now().Add(-ago)
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	for i, milli := 5, at.UnixMilli(); i >= 0; i-- {
		id[i], milli = byte(milli), milli>>8
	}
	op := gatewaytest.NewPayment().Authorize("pm_card_visa", 1000)
	op.PaymentID, op.ID = id, id.String()+"-1"
	return op, at.UnixMilli() / 1000
}

// TestOursARetryAfterACrashIsAReplayWithinTheKeysLife holds that a second attempt goes under the
// first one's key, without a search, as long as Stripe must know the key; and that it looks first
// when Stripe may have forgotten it.
func TestOursARetryAfterACrashIsAReplayWithinTheKeysLife(t *testing.T) {
	t.Parallel()
	const create, list, read = "POST /v1/payment_intents", "GET /v1/payment_intents", "GET /v1/payment_intents/pi_1"
	for name, c := range map[string]struct {
		ago  time.Duration
		want []string
	}{
		"at once":                       {0, []string{create}},
		"in the evening":                {10 * time.Hour, []string{create}},
		"when the key may be forgotten": {21 * time.Hour, []string{list, list, list, read}},
		"of a payment that was named in the future": {-time.Hour, []string{list, read}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			g := a.open(t)
			op, _ := named(t, c.ago)
			first := g.Do(t.Context(), op)
			gatewaytest.Want(t, first, messages.OutcomeSucceeded)
			a.seen()
			op.Attempt = 2
			second := g.Do(t.Context(), op)
			if second.Authorization = nil; cmp.Diff(first, second) != "" {
				t.Errorf("the second attempt is answered otherwise (-first +second):\n%s", cmp.Diff(first, second))
			}
			if diff := cmp.Diff(c.want, a.seen()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if n := a.effect("authorize"); n != 1 {
				t.Errorf("authorized %d times", n)
			}
		})
	}
}

// TestOursALookupListsByTime holds that a lookup finds its PaymentIntent among others, over several
// pages, and does not ask the search.
func TestOursALookupListsByTime(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	g := a.open(t)
	op, _ := named(t, 0)
	gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
	for range 7 {
		gatewaytest.Want(t, g.Do(t.Context(), gatewaytest.NewPayment().Authorize("pm_card_visa", 5)), messages.OutcomeSucceeded)
	}
	a.seen()
	o := g.Lookup(t.Context(), op)
	gatewaytest.Want(t, o, messages.OutcomeSucceeded)
	if o.GatewayReference != "pi_1" {
		t.Errorf("found %s", o.GatewayReference)
	}
	const list = "GET /v1/payment_intents"
	if diff := cmp.Diff([]string{list, list, list, list + "/pi_1"}, a.seen()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	other, _ := named(t, 0)
	gatewaytest.Want(t, g.Lookup(t.Context(), other), messages.OutcomeNotFound)
}

// TestOursTwoPaymentIntentsOfOneOperationAreForAPerson holds that a lookup does not choose.
func TestOursTwoPaymentIntentsOfOneOperationAreForAPerson(t *testing.T) {
	t.Parallel()
	op, _ := named(t, 0)
	g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		say(w, 200, listed(intentOf(op, nil), intentOf(op, object{"id": "pi_8"})))
	})
	if o := g.Lookup(t.Context(), op); o.Kind != messages.OutcomeUnknown || !strings.Contains(o.Detail, "two objects") {
		t.Errorf("%+v", o)
	}
}

// TestOursThreeDSecureWithoutAPageHasTheClientSecret holds that Stripe.js can go on without a
// return URL.
func TestOursThreeDSecureWithoutAPageHasTheClientSecret(t *testing.T) {
	t.Parallel()
	op := gatewaytest.NewPayment().Authorize("pm_1", 1000)
	pi := intentOf(op, object{"status": "requires_action", "next_action": object{"type": "use_stripe_sdk", "use_stripe_sdk": object{}}})
	want := messages.NextAction{Type: "three_d_secure", ClientSecret: "pi_9_secret_hunter2"}
	o := serve(t, respond(pi)).Do(t.Context(), op)
	if o.Kind != messages.OutcomeRequiresAction || *o.NextAction != want {
		t.Errorf("%s with %+v, want %+v", o.Kind, o.NextAction, want)
	}
}

// TestOursALookupTellsTheAuthorizationsState has a row for each state of a PaymentIntent that was
// authorized.
func TestOursALookupTellsTheAuthorizationsState(t *testing.T) {
	t.Parallel()
	approved := object{"object": "charge", "id": "ch_1", "status": "succeeded"}
	confirm := followUp().Confirm(1000)
	for name, c := range map[string]struct {
		changes object
		want    messages.AuthorizationState
	}{
		"held":              {object{}, messages.AuthorizationState{}},
		"captured":          {object{"status": "succeeded", "amount_received": 1000, "amount_capturable": 0}, messages.AuthorizationState{CapturedMinor: 1000}},
		"captured in part":  {object{"amount_received": 400, "amount_capturable": 600}, messages.AuthorizationState{CapturedMinor: 400}},
		"captured, finally": {object{"status": "succeeded", "amount_received": 400, "amount_capturable": 0}, messages.AuthorizationState{CapturedMinor: 400, ReleasedMinor: 600}},
		"canceled":          {object{"status": "canceled", "amount_capturable": 0, "latest_charge": approved}, messages.AuthorizationState{ReleasedMinor: 1000}},
		"lapsed":            {object{"status": "canceled", "cancellation_reason": "automatic", "amount_capturable": 0, "latest_charge": approved}, messages.AuthorizationState{ReleasedMinor: 1000}},
		"canceled in part":  {object{"status": "canceled", "amount_received": 300, "amount_capturable": 0, "latest_charge": approved}, messages.AuthorizationState{CapturedMinor: 300, ReleasedMinor: 700}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			authorize := gatewaytest.NewPayment().Authorize("pm_1", 1000)
			for _, op := range []messages.Operation{authorize, confirm} {
				o := serve(t, found(t, intentOf(op, c.changes))).Lookup(t.Context(), op)
				if o.Kind != messages.OutcomeSucceeded || o.AmountMinor != 1000 || o.Authorization == nil || *o.Authorization != c.want {
					t.Errorf("%s: %+v with %+v, want %+v", op.Kind, o, o.Authorization, c.want)
				}
			}
		})
	}
	t.Run("canceled before it was authorized", func(t *testing.T) {
		t.Parallel()
		op := gatewaytest.NewPayment().Authorize("pm_1", 1000)
		o := serve(t, found(t, intentOf(op, object{"status": "canceled", "latest_charge": nil}))).Lookup(t.Context(), op)
		if verdictOf(o) != "declined authorization_voided" || o.Authorization != nil {
			t.Errorf("%+v", o)
		}
	})
}

// TestOursAVoidOfCapturedMoneyIsNoLapse holds that the refusal says that the money was taken.
func TestOursAVoidOfCapturedMoneyIsNoLapse(t *testing.T) {
	t.Parallel()
	op := followUp().Void()
	pi := intentOf(op, object{"status": "succeeded", "amount": 1000, "amount_received": 1000, "amount_capturable": 0})
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			say(w, 200, pi)
			return
		}
		body := failure("invalid_request_error", "code", "payment_intent_unexpected_state")
		body["error"].(object)["payment_intent"] = pi
		say(w, 400, body)
	})
	for _, o := range []messages.Outcome{g.Do(t.Context(), op), g.Lookup(t.Context(), op)} {
		if verdictOf(o) != "declined already_captured" || o.Decline.Class != messages.DeclineNeverRetry {
			t.Errorf("%+v", o)
		}
	}
}

// TestOursEverySuccessCarriesItsAmount holds that an answer without an amount proves nothing.
func TestOursEverySuccessCarriesItsAmount(t *testing.T) {
	t.Parallel()
	charge := gatewaytest.NewPayment().Charge("pm_1", 1000)
	p := followUp()
	first, second := p.Capture(300), p.Capture(400) // Numbers 2 and 3.
	both := object{"amount_received": 700, "amount_capturable": 300, "metadata": mark(second, "2", "300", "3", "400")}
	for name, c := range map[string]struct {
		op      messages.Operation
		changes object
		want    messages.OutcomeKind
		amount  int64
	}{
		"a charge of nothing":                 {charge, object{"status": "succeeded", "capture_method": "automatic"}, messages.OutcomeUnknown, 0},
		"the first of two captures":           {first, both, messages.OutcomeSucceeded, 300},
		"the second of two captures":          {second, both, messages.OutcomeSucceeded, 400},
		"captures that are not what was told": {second, object{"amount_received": 600, "metadata": mark(second, "2", "300", "3", "400")}, messages.OutcomeUnknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serve(t, respond(intentOf(c.op, c.changes))).Do(t.Context(), c.op)
			if o.Kind != c.want || o.AmountMinor != c.amount {
				t.Errorf("%+v, want %s of %d", o, c.want, c.amount)
			}
		})
	}
}

// TestOursARateLimitsReasonNamesTheRest has a row for each reason that Stripe gives.
func TestOursARateLimitsReasonNamesTheRest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status       int
		reason, code string
		want         messages.RestScope
		rest         time.Duration
	}{
		"the account's rate":        {429, "global-rate", "rate_limit", messages.RestCredentials, time.Second},
		"the account's concurrency": {429, "global-concurrency", "rate_limit", messages.RestCredentials, time.Second},
		"an endpoint's rate":        {429, "endpoint-rate", "rate_limit", messages.RestGateway, time.Second},
		"an endpoint's concurrency": {429, "endpoint-concurrency", "rate_limit", messages.RestGateway, time.Second},
		"one object":                {429, "resource-specific", "rate_limit", messages.RestOperation, 0},
		"a lock":                    {429, "", "lock_timeout", messages.RestOperation, 0},
		"no reason":                 {429, "", "rate_limit", messages.RestGateway, time.Second},
		"a key in use":              {409, "", "idempotency_key_in_use", messages.RestOperation, 0},
		"trouble at Stripe":         {503, "", "", messages.RestGateway, 0},
		"a key turned away":         {401, "", "", messages.RestCredentials, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.reason != "" {
					w.Header().Set("Stripe-Rate-Limited-Reason", c.reason)
				}
				say(w, c.status, failure("invalid_request_error", "code", c.code))
			})
			op, _ := named(t, 0)
			for _, o := range []messages.Outcome{g.Do(t.Context(), op), g.Lookup(t.Context(), op)} {
				if o.Rest != c.want || o.RetryAfter != c.rest {
					t.Errorf("%s: a rest of %s about %q, want %s about %q", o.Kind, o.RetryAfter, o.Rest, c.rest, c.want)
				}
			}
		})
	}
}

// TestOursNoLookupAsksTheSearch holds that nothing depends on Stripe's search.
func TestOursNoLookupAsksTheSearch(t *testing.T) {
	t.Parallel()
	g := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "search") {
			t.Errorf("%s was asked", r.URL)
		}
		if created, err := url.ParseQuery(r.URL.RawQuery); err != nil || created.Get("created[gte]") == "" {
			t.Errorf("%s names no time: %v", r.URL, err)
		}
		say(w, 200, listed())
	})
	for _, ago := range []time.Duration{0, time.Hour, 30 * 24 * time.Hour, -24 * time.Hour} {
		op, _ := named(t, ago)
		op.Attempt = 3
		gatewaytest.Want(t, g.Lookup(t.Context(), op), messages.OutcomeNotFound)
	}
	gatewaytest.Want(t, g.Lookup(t.Context(), gatewaytest.NewPayment().Authorize("pm_1", 5)), messages.OutcomeNotFound)
}

// TestOursTenantsOfOneAccountAreApart holds that tenants who name their payments alike share no
// answer at Stripe.
func TestOursTenantsOfOneAccountAreApart(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	g := a.open(t)
	one, _ := named(t, 0)
	other := one
	other.Tenant = "globex"
	first, second := g.Do(t.Context(), one), g.Do(t.Context(), other)
	gatewaytest.Want(t, first, messages.OutcomeSucceeded)
	gatewaytest.Want(t, second, messages.OutcomeSucceeded)
	if a.effect("authorize") != 2 || first.GatewayReference == second.GatewayReference {
		t.Errorf("%d authorizations, as %s and %s", a.effect("authorize"), first.GatewayReference, second.GatewayReference)
	}
	if o := g.Lookup(t.Context(), other); o.GatewayReference != second.GatewayReference {
		t.Errorf("the lookup found %+v", o)
	}
	capture := other
	capture.Kind, capture.GatewayReference, capture.ID = messages.OperationCapture, first.GatewayReference, other.PaymentID.String()+"-2"
	gatewaytest.Want(t, g.Lookup(t.Context(), capture), messages.OutcomeUnknown)
}
