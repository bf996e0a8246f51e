package simulator_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim/simtest"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testCards() gatewaytest.Cards {
	return gatewaytest.Cards{
		Approved: "pm_card_visa",
		Declined: "pm_card_visa_chargeDeclinedInsufficientFunds", DeclineCode: "insufficient_funds",
		Challenged: "pm_card_threeDSecure2Required",
	}
}

func TestPaymentMethodsOverHTTP(t *testing.T) {
	t.Parallel()
	simtest.Run(t, func(t *testing.T, c sim.Config) (*sim.Simulator, gateway.Gateway) {
		s := newSimulator(t, simulator.Config{Config: c})
		return s.Simulator, overHTTP(t, s)
	})
}

func TestConformsOverHTTP(t *testing.T) {
	t.Parallel()
	gatewaytest.Conformance(t, testCards(), func(t *testing.T) gateway.Gateway {
		return overHTTP(t, newSimulator(t, simulator.Config{}))
	})
}

func newSimulator(t *testing.T, c simulator.Config) *simulator.Simulator {
	t.Helper()
	s, err := simulator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const testKey = "sk_test_simulator"

// overHTTP serves the simulator on a real port and returns a client of it.
func overHTTP(t *testing.T, s *simulator.Simulator) gateway.Gateway {
	t.Helper()
	server := httptest.NewServer(s.Handler(testKey))
	t.Cleanup(func() {
		// A request that is held back keeps its connection, and the server waits for it.
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	client, err := httpgw.New(httpgw.Config{URL: server.URL, APIKey: testKey, DialTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return sim.NewDialErrors(client)
}
