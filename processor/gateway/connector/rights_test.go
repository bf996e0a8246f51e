package connector_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/connector"
	"github.com/seed-384b1f8a/tender/processor/gateway/natsgw"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// The least that a connector and those who ask it need on the bus. The README shows the
// connector's.
const rights = `
authorization {
  users: [
    {
      user: "connector", password: "c"
      permissions: {
        subscribe: { allow: ["payments.gateway.bank.* gateway-bank", "$SRV.>"] }
        publish: { deny: [">"] }
        allow_responses: { max: 1, expires: "1m" }
      }
    }
    {
      user: "serve", password: "s"
      permissions: { publish: { allow: ["payments.gateway.*.*"] }, subscribe: { allow: ["_INBOX.>"] } }
    }
  ]
}
`

// TestAConnectorNeedsFewRights holds that a connector works when all it may do is to answer who
// asks it.
func TestAConnectorNeedsFewRights(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(rights), 0o600); err != nil {
		t.Fatal(err)
	}
	server := servers.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile = file })
	violated := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Errorf("refused: %v", err) })
	running, err := connector.Start(server.Connect(t, nats.UserInfo("connector", "c"), violated), connector.Config{
		Name: "bank", Gateway: asked{do: succeeds, lookup: succeeds},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	g, err := natsgw.New(server.Connect(t, nats.UserInfo("serve", "s"), violated), "bank")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		want(t, g.Do(within(t), authorization()), messages.OutcomeSucceeded)
		want(t, g.Lookup(within(t), authorization()), messages.OutcomeSucceeded)
	}
}
