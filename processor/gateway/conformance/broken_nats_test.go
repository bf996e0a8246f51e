package conformance_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/connector"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestBrokenConnectorsFailTheRightLines(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now    func() time.Time
		lax    bool
		breaks []string
	}{
		"keeps its promises":           {nil, false, nil},
		"does not look at deadlines":   {func() time.Time { return time.Unix(-1, 0) }, false, []string{"deadline-passed"}},
		"does not look at the subject": {nil, true, []string{"operation-of-its-subject"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := servers.NATS(t)
			running, err := connector.Start(server.Connect(t), connector.Config{Name: "bank", Gateway: newSimulator(t), Now: c.now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := running.Stop(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
			target := "bank"
			if c.lax {
				target = "lax"
				forward(t, server.Connect(t))
			}
			over, err := conformance.OverNATS(server.Connect(t), target)
			if err != nil {
				t.Fatal(err)
			}
			wantBroken(t, underTest{over, conformance.Options{Cards: testCards(), CallTimeout: 20 * time.Second}}, c.breaks, nil)
		})
	}
}

// forward takes requests for the gateway lax to the connector of bank, on the subject that the
// operation names itself.
func forward(t *testing.T, nc *nats.Conn) {
	t.Helper()
	_, err := nc.Subscribe("payments.gateway.lax.*", func(m *nats.Msg) {
		endpoint := m.Subject[strings.LastIndex(m.Subject, ".")+1:]
		var op struct{ Kind string }
		if endpoint != protocol.EndpointLookup && json.Unmarshal(m.Data, &op) == nil && slices.Contains(protocol.Endpoints(), op.Kind) {
			endpoint = op.Kind
		}
		// The connector answers the client itself.
		err := nc.PublishMsg(&nats.Msg{Subject: protocol.Subject("bank", endpoint), Reply: m.Reply, Header: m.Header, Data: m.Data})
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}
