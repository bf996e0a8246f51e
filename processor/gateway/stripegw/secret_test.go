package stripegw_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

// TestSecretsStayInside answers with secrets in every place where words are taken over from, and
// looks for them in the outcomes and in the output of the process. It replaces the process's
// output, so that it runs alone.
func TestSecretsStayInside(t *testing.T) {
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	os.Stdout, os.Stderr = output, output
	var outcomes []messages.Outcome
	p := followUp()
	ops := []messages.Operation{gatewaytest.NewPayment().Authorize("pm_1", 1999), p.Confirm(1999), p.Capture(100), p.Void(), p.Refund(100)}
	told := "key " + testKey + ", rk_live_hunter2hunter2, pi_9_secret_hunter2"
	for _, status := range []int{200, 302, 400, 401, 402, 403, 404, 409, 429, 500} {
		for _, body := range []any{
			told,
			object{"object": "payment_intent", "id": 9, "client_secret": told},
			object{"object": told},
			object{"error": object{"type": told, "message": told, "code": told, "param": told}},
			failure("invalid_request_error", "message", told, "code", told), failure("card_error", "message", told, "param", told),
			failure("idempotency_error", "message", told), failure("api_error", "message", told),
			intentOf(ops[0], object{"status": told, "currency": told}), intentOf(ops[2], object{"metadata": object{"tender_payment_id": told}}),
		} {
			g := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Stripe-Should-Retry", told)
				say(w, status, body)
			})
			for _, op := range ops {
				outcomes = append(outcomes, g.Do(t.Context(), op), g.Lookup(t.Context(), op))
			}
		}
	}
	os.Stdout, os.Stderr = stdout, stderr
	for _, o := range outcomes {
		if strings.Contains(o.Detail, testKey) || strings.Contains(o.Detail, "hunter2") {
			t.Errorf("the detail of %s tells a secret: %s", o.Kind, o.Detail)
		}
		if runes := len([]rune(o.Detail)); runes > 250 {
			t.Errorf("a detail of %d runes", runes)
		}
	}
	if err := output.Close(); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(output.Name())
	if err != nil || len(said) > 0 {
		t.Errorf("the process said %q (%v)", said, err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]stripegw.Config{
		"no key":                  {},
		"a key with spaces":       {APIKey: "sk_test_hunter2\n"},
		"a publishable key":       {APIKey: "pk_test_hunter2"},
		"no scheme":               {APIKey: testKey, URL: "api.stripe.example"},
		"a user":                  {APIKey: testKey, URL: "https://sk_test_hunter2@api.stripe.example"},
		"a bad escape":            {APIKey: testKey, URL: "https://api.stripe.example/hunter2%zz"},
		"a return URL of no kind": {APIKey: testKey, ReturnURL: "hunter2"},
		"negative connections":    {APIKey: testKey, ConnectionsMax: -1},
	} {
		_, err := stripegw.New(c)
		if err == nil {
			t.Errorf("%s is taken", name)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
}

// TestOperationsThatMakeNoSense are refused before anything is sent.
func TestOperationsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	g := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent", r.Method, r.URL.Path) })
	for name, change := range map[string]func(*messages.Operation){
		"an id of another payment": func(op *messages.Operation) { op.PaymentID = uuid.New() },
		"an id with a quote":       func(op *messages.Operation) { op.ID += "' OR '" },
		"an id without a number":   func(op *messages.Operation) { op.ID = op.PaymentID.String() + "-" },
		"no payment method":        func(op *messages.Operation) { op.PaymentMethod = "" },
		"an unknown kind":          func(op *messages.Operation) { op.Kind = "gamble" },
		"a capture of nothing":     func(op *messages.Operation) { op.Kind = messages.OperationCapture },
		"a refund of nothing":      func(op *messages.Operation) { op.Kind = messages.OperationRefund },
	} {
		op := gatewaytest.NewPayment().Authorize("pm_1", 1999)
		change(&op)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gatewaytest.WantDecline(t, g.Do(t.Context(), op))
			gatewaytest.Want(t, g.Lookup(t.Context(), op), messages.OutcomeUnknown)
		})
	}
}
