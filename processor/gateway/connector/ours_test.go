package connector_test

import (
	"encoding/json"
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/connector"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// TestOursAConnectorRefusesWhatLacksAField: a request without a payment_id was decoded to zeros,
// handed to the gateway, and answered as done.
func TestOursAConnectorRefusesWhatLacksAField(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	start(t, server, connector.Config{Gateway: asked{do: succeeds, lookup: succeeds}})
	nc := server.Connect(t)
	ask := func(endpoint string, fields map[string]any) protocol.Code {
		t.Helper()
		body, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := nc.RequestWithContext(within(t), protocol.Subject("bank", endpoint), body)
		if err != nil {
			t.Fatal(err)
		}
		p, err := protocol.DecodeProblem(reply.Data)
		if err != nil {
			return "" // It is an answer.
		}
		return p.Code
	}
	op := authorization()
	capture := op
	capture.Kind, capture.GatewayReference, capture.PaymentMethod = messages.OperationCapture, "ref", ""
	for _, good := range []messages.Operation{op, capture} {
		required := []string{"operation_id", "kind", "tenant", "payment_id", "amount_minor", "currency", "payment_method"}
		if good.Kind == messages.OperationCapture {
			required[6] = "gateway_reference"
		}
		if code := ask(string(good.Kind), fieldsOf(t, good)); code != "" {
			t.Errorf("a %s that lacks nothing is refused as %s", good.Kind, code)
		}
		for _, name := range required {
			for _, value := range []any{nil, "", "no", -1, 1.5, []string{}} {
				fields := fieldsOf(t, good)
				if fields[name] = value; value == nil {
					delete(fields, name)
				}
				text := name == "operation_id" || name == "tenant" || name == "payment_method" || name == "gateway_reference"
				if value == "no" && text {
					continue // That is a value like any other.
				}
				if code := ask(string(good.Kind), fields); code != protocol.CodeInvalidRequest {
					t.Errorf("a %s with the %s %v is answered with %q, want %s", good.Kind, name, value, code, protocol.CodeInvalidRequest)
				}
			}
		}
	}
	for _, name := range []string{"operation_id", "tenant"} {
		fields := fieldsOf(t, op)
		delete(fields, name)
		if code := ask(protocol.EndpointLookup, fields); code != protocol.CodeInvalidRequest {
			t.Errorf("a lookup without %s is answered with %q", name, code)
		}
	}
}

func fieldsOf(t *testing.T, op messages.Operation) map[string]any {
	t.Helper()
	body, err := json.Marshal(op)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// TestOursTenantsShareAGateway: operation ids carry no tenant, so that a gateway shared by tenants
// could answer one with the other's outcome.
func TestOursTenantsShareAGateway(t *testing.T) {
	t.Parallel()
	s, err := sim.New(sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := servers.NATS(t)
	start(t, server, connector.Config{Gateway: s})
	g := client(t, server)
	ours := authorization()
	theirs := ours
	theirs.Tenant, theirs.AmountMinor = "globex", 500
	want(t, g.Do(within(t), ours), messages.OutcomeSucceeded)
	want(t, g.Lookup(within(t), theirs), messages.OutcomeNotFound)
	o := g.Do(within(t), theirs)
	if o.Kind != messages.OutcomeSucceeded || o.AmountMinor != 500 {
		t.Errorf("the same id of another tenant is %s over %d (%s), want succeeded over 500", o.Kind, o.AmountMinor, o.Detail)
	}
	if o := g.Lookup(within(t), ours); o.AmountMinor != ours.AmountMinor {
		t.Errorf("the lookup of the first tenant says %d, want %d", o.AmountMinor, ours.AmountMinor)
	}
	if total, _ := s.Snapshot().Payment(ours.PaymentID); total.Tenant != ours.Tenant || total.AuthorizedMinor != ours.AmountMinor {
		t.Errorf("the ledger of the first tenant says %+v", total)
	}
}
