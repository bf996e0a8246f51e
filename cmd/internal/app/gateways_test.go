package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/connector"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestTheConfiguredRateReachesTheGuard(t *testing.T) {
	t.Parallel()
	configured := config.Gateway{Rate: config.Rate{PerSecond: 2.5, PerKind: 1.5, Burst: 4}, QueueWait: 3 * time.Second}
	settings := guardSettings(configured, zap.NewNop(), status.NewFeed(time.Now))
	if want := (gateway.Rate{PerSecond: 2.5, PerKind: 1.5, Burst: 4}); settings.Rate != want || settings.QueueWait != 3*time.Second {
		t.Errorf("the rate is %+v with a wait of %s, want %+v and 3s", settings.Rate, settings.QueueWait, want)
	}
}

func TestInstanceName(t *testing.T) {
	t.Parallel()
	one, two := instanceName("host.example.com", 42), instanceName("host.example.com", 42)
	if !strings.HasPrefix(one, "host-example-com-42-") {
		t.Errorf("the name %q does not tell where the instance runs", one)
	}
	if one == two {
		t.Errorf("two instances in one process are both named %s", one)
	}
	if long := instanceName(strings.Repeat("x", 300), 42); len(long) > 100 {
		t.Errorf("the name has %d characters", len(long))
	}
}

// TestGatewayBehindAConnector asks connectors by the gateway's own name and by another one.
func TestGatewayBehindAConnector(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	simulator, err := sim.New(sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := simulator.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"bank", "bank-2"} {
		running, err := connector.Start(server.Connect(t), connector.Config{Name: name, Gateway: simulator})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := running.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "tender.yaml")
	err = os.WriteFile(file, []byte(`
gateways:
  bank: {kind: nats}
  other: {kind: nats, connector: bank-2}
  absent: {kind: nats}
routing: {default: bank}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := openGateways(cfg, server.Connect(t), zap.NewNop(), func(string) {}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(all.close)
	for name, want := range map[string]messages.OutcomeKind{
		"bank": messages.OutcomeSucceeded, "other": messages.OutcomeSucceeded, "absent": messages.OutcomeNotSent,
	} {
		g, found := all.set.Get(name)
		if !found {
			t.Fatalf("there is no gateway %s", name)
		}
		id := uuid.New()
		o := g.Do(t.Context(), messages.Operation{
			ID: id.String() + "-1", Kind: messages.OperationAuthorize, Tenant: "acme", PaymentID: id, Attempt: 1,
			AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa",
		})
		if o.Kind != want {
			t.Errorf("%s: %s (%s), want %s", name, o.Kind, o.Detail, want)
		}
	}
}

func TestGatewaysWithOneKeyShareTheirCredentials(t *testing.T) {
	t.Parallel()
	one := config.Gateway{Kind: config.GatewayStripe, APIKey: "sk_test_1"}
	same, other, none := one, one, one
	same.Stripe.Account = "acct_2"
	other.APIKey, none.APIKey = "sk_test_2", ""
	if credentials(one) != credentials(same) || credentials(one) == credentials(other) || credentials(none) != "" {
		t.Errorf("the credentials are %q, %q of another account, %q of another key and %q without one",
			credentials(one), credentials(same), credentials(other), credentials(none))
	}
	if strings.Contains(credentials(one), "sk_test_1") {
		t.Error("the credentials are told in clear")
	}
}
