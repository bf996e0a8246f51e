package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

func TestOperationsArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	sent := messages.Operation{
		ID: "op-1", Kind: messages.OperationRefund, Tenant: "acme", PaymentID: uuid.New(), Gateway: "acquirer", Attempt: 3,
		AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa", Capture: true, Final: true, GatewayReference: "ref",
		MerchantReference: "order-42", CustomerID: "c-1", Reason: messages.RefundDuplicate,
	}
	body, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	arrived, err := protocol.DecodeOperation(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, arrived); diff != "" {
		t.Errorf("(-sent +arrived):\n%s", diff)
	}
	for name, body := range map[string]string{
		"nothing": "", "not JSON": "<op/>", "two": `{} {}`, "an unknown field": `{"amount_major":19}`, "a fraction": `{"amount_minor":19.99}`,
		"text for an amount": `{"amount_minor":"1999"}`, "rubbish behind": `{}x`,
	} {
		if _, err := protocol.DecodeOperation([]byte(body)); err == nil {
			t.Errorf("a body with %s is taken", name)
		}
	}
}

func TestEveryCodeHasItsOwnStatus(t *testing.T) {
	t.Parallel()
	seen := make(map[int]protocol.Code)
	for _, c := range protocol.Codes() {
		status, ok := c.Status()
		if other, taken := seen[status]; !ok || taken {
			t.Errorf("%s has status %d, as has %q", c, status, other)
		}
		seen[status] = c
	}
	if _, ok := protocol.Code("odd").Status(); ok {
		t.Error("a code that does not exist has a status")
	}
}

// FuzzOutcome holds that only a proper reply about the operation that was asked for proves
// anything.
func FuzzOutcome(f *testing.F) {
	for _, body := range []string{
		`{"operation_id":"op-1","outcome":"succeeded"}`, `{"operation_id":"op-1","outcome":"declined","decline_code":"lost_card"}`,
		`{"operation_id":"op-2","outcome":"pending"}`, `{"error":{"code":"unauthorized"}}`, `{"error":{"code":"invalid_request"}}`,
		`{"error":{"code":"operation_not_found"}}`, `{"error":{"code":"not_done"}}`, `null`, `{"error":null}`,
	} {
		for _, status := range []int{200, 202, 400, 401, 402, 404, 424, 500} {
			f.Add(status, []byte(body), false)
			f.Add(status, []byte(body), true)
		}
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, lookup bool) {
		o := protocol.Exchange{OperationID: "op-1", Lookup: lookup}.Outcome(protocol.Reply{Status: status, Body: body})
		text := string(body)
		about := strings.Contains(text, "op-1") || strings.Contains(text, `\u`)
		switch o.Kind {
		case messages.OutcomeUnknown:
		case messages.OutcomeSucceeded, messages.OutcomeRequiresAction:
			if status != 200 || !about {
				t.Errorf("%s by status %d and %q", o.Kind, status, body)
			}
		case messages.OutcomePending:
			if status != 202 || !about {
				t.Errorf("%s by status %d and %q", o.Kind, status, body)
			}
		case messages.OutcomeDeclined:
			if o.Decline == nil || status != 400 && (status != 402 || !about) || status == 400 && lookup {
				t.Errorf("%s by status %d and %q", o.Kind, status, body)
			}
		case messages.OutcomeNotSent:
			if status != 401 && status != 424 || lookup {
				t.Errorf("%s by status %d and %q", o.Kind, status, body)
			}
		case messages.OutcomeNotFound:
			if status != 404 || !lookup {
				t.Errorf("%s by status %d and %q", o.Kind, status, body)
			}
		default:
			t.Errorf("outcome %q", o.Kind)
		}
	})
}
