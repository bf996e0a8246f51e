package stripegw_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// FuzzAnswer holds that only a proper answer about the operation proves anything.
func FuzzAnswer(f *testing.F) {
	payment := uuid.MustParse("019a0000-0000-7000-8000-000000000000")
	op := messages.Operation{
		ID: payment.String() + "-1", Kind: messages.OperationAuthorize, Tenant: "acme", PaymentID: payment, Attempt: 1,
		AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_1",
	}
	proper := `{"object":"payment_intent","id":"pi_1","status":"STATUS","capture_method":"manual","amount":1999,"currency":"usd",` +
		`"metadata":{"tender_operation_id":"` + op.ID + `","tender_payment_id":"` + payment.String() + `"}}`
	for _, body := range []string{
		strings.Replace(proper, "STATUS", "requires_capture", 1), strings.Replace(proper, "STATUS", "requires_action", 1),
		strings.Replace(proper, "STATUS", "processing", 1), strings.Replace(proper, "STATUS", "canceled", 1), `null`, `[]`, `{}`,
		`{"error":{"type":"card_error","code":"card_declined"}}`, `{"error":{"type":"invalid_request_error"}}`, `{"error":"x"}`,
	} {
		for _, status := range []int{200, 400, 401, 402, 404, 500} {
			f.Add(status, body)
		}
	}
	type reply struct {
		status int
		body   string
	}
	var now atomic.Pointer[reply]
	g := serve(f, func(w http.ResponseWriter, _ *http.Request) { say(w, now.Load().status, now.Load().body) })
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		now.Store(&reply{status, body})
		o := g.Do(t.Context(), op)
		about := strings.Contains(body, op.ID) || strings.Contains(body, `\u`)
		var allowed bool
		switch o.Kind {
		case messages.OutcomeUnknown:
			allowed = true
		case messages.OutcomeSucceeded, messages.OutcomeRequiresAction, messages.OutcomePending:
			allowed = status == http.StatusOK && about && o.GatewayReference != ""
		case messages.OutcomeDeclined:
			allowed = o.Decline != nil && (status == http.StatusOK && about || status >= 400 && status <= 404 && strings.Contains(body, "error"))
		case messages.OutcomeNotSent:
			allowed = status == http.StatusUnauthorized
		default:
		}
		if !allowed {
			t.Errorf("%s by status %d and %q", o.Kind, status, body)
		}
	})
}
