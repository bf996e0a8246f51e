package stripegw_test

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
)

// echo authorizes every request, and remembers the amount as it was written.
type echo struct {
	t      testing.TB
	op     messages.Operation
	amount string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		e.t.Error(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		e.t.Error(err)
	}
	e.amount = form.Get("amount")
	amount, err := strconv.ParseInt(e.amount, 10, 64)
	if err != nil {
		e.t.Error(err)
	}
	say(w, 200, intentOf(e.op, object{"amount": amount, "currency": form.Get("currency")}))
}

func TestAmountsOfEveryCurrency(t *testing.T) {
	t.Parallel()
	// The amounts that Stripe is sent for 12,340 and 12,300 minor units; "" is refused before
	// anything is sent.
	special := map[string][2]string{
		"ISK": {"1234000", "1230000"}, "UGX": {"1234000", "1230000"}, "MGA": {"", "123"},
		"CLF": {"", ""}, "UYW": {"", ""}, "UYI": {"", ""}, "IQD": {"", ""}, "LYD": {"", ""},
	}
	e := &echo{t: t}
	g := serve(t, e.ServeHTTP)
	currencies := 0
	for i := range 26 * 26 * 26 {
		currency := string([]byte{byte('A' + i/676), byte('A' + i/26%26), byte('A' + i%26)})
		if _, known := messages.Exponent(currency); !known {
			continue
		}
		currencies++
		for n, amountMinor := range []int64{12340, 12300} {
			e.op = gatewaytest.NewPayment().Authorize("pm_1", amountMinor)
			e.op.Currency, e.amount = currency, ""
			want, isSpecial := strconv.FormatInt(amountMinor, 10), false
			if pair, found := special[currency]; found {
				want, isSpecial = pair[n], true
			}
			o := g.Do(t.Context(), e.op)
			if e.amount != want {
				t.Errorf("%d %s (special %t) went out as %q, want %q", amountMinor, currency, isSpecial, e.amount, want)
			}
			switch {
			case want == "" && o.Kind != messages.OutcomeDeclined:
				t.Errorf("%d %s is %s, want declined", amountMinor, currency, o.Kind)
			case want != "" && (o.Kind != messages.OutcomeSucceeded || o.AmountMinor != amountMinor):
				t.Errorf("%d %s came back as %s of %d (%s)", amountMinor, currency, o.Kind, o.AmountMinor, o.Detail)
			}
		}
	}
	if currencies < 150 {
		t.Errorf("only %d currencies were tried", currencies)
	}
}

func TestAmountsAtTheEdges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency    string
		amountMinor int64
		want        string // "" is declined with the code
		code        string
	}{
		{"KWD", 12345, "", "invalid_request"},
		{"KWD", 12350, "12350", ""},
		{"TND", 5, "", "invalid_request"},
		{"BHD", 10, "10", ""},
		{"JPY", 1, "1", ""},
		{"ISK", 1, "100", ""},
		{"UGX", 5, "500", ""},
		{"MGA", 50, "", "invalid_request"},
		{"MGA", 100, "1", ""},
		{"USD", 1, "1", ""},
		{"USD", messages.AmountMinorMax, "999999999999", ""},
		{"ISK", messages.AmountMinorMax, "99999999999900", ""},
		{"USD", messages.AmountMinorMax + 1, "", "invalid_request"},
		{"USD", 0, "", "invalid_request"},
		{"USD", -100, "", "invalid_request"},
		{"IQD", 1000, "", "currency_not_supported"},
		{"XXX", 100, "", "currency_not_supported"},
		{"usd", 100, "", "currency_not_supported"},
	} {
		e := &echo{t: t, op: gatewaytest.NewPayment().Authorize("pm_1", c.amountMinor)}
		e.op.Currency = c.currency
		o := serve(t, e.ServeHTTP).Do(t.Context(), e.op)
		if e.amount != c.want {
			t.Errorf("%d %s went out as %q, want %q", c.amountMinor, c.currency, e.amount, c.want)
		}
		switch {
		case c.want == "" && (o.Decline == nil || o.Decline.Code != c.code || o.Detail == ""):
			t.Errorf("%d %s is %s (%s), want declined with %s and a word on it", c.amountMinor, c.currency, verdictOf(o), o.Detail, c.code)
		case c.want != "" && o.AmountMinor != c.amountMinor:
			t.Errorf("%d %s came back as %s of %d", c.amountMinor, c.currency, o.Kind, o.AmountMinor)
		}
	}
}

func TestAmountsThatCannotComeBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency string
		amount   int64
	}{{"ISK", 1050}, {"UGX", 1}, {"USD", -1}, {"USD", messages.AmountMinorMax + 1}, {"MGA", messages.AmountMinorMax}} {
		op := gatewaytest.NewPayment().Authorize("pm_1", 100)
		op.Currency = c.currency
		pi := intentOf(op, object{"amount": c.amount, "currency": strings.ToLower(c.currency)})
		if o := serve(t, respond(pi)).Do(t.Context(), op); o.Kind != messages.OutcomeUnknown {
			t.Errorf("%d of Stripe's %s is taken for %d (%s)", c.amount, c.currency, o.AmountMinor, o.Kind)
		}
	}
}
