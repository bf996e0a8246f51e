package sim_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testCards() gatewaytest.Cards {
	return gatewaytest.Cards{
		Approved: "pm_card_visa",
		Declined: "pm_card_visa_chargeDeclinedInsufficientFunds", DeclineCode: "insufficient_funds",
		Challenged: "pm_card_threeDSecure2Required",
	}
}

func TestConformsInProcess(t *testing.T) {
	t.Parallel()
	gatewaytest.Conformance(t, testCards(), func(t *testing.T) gateway.Gateway {
		return newSimulator(t, sim.Config{})
	})
}

func TestPaymentMethodsInProcess(t *testing.T) {
	t.Parallel()
	simtest.Run(t, func(t *testing.T, c sim.Config) (*sim.Simulator, gateway.Gateway) {
		s := newSimulator(t, c)
		return s, s
	})
}

func newSimulator(t *testing.T, c sim.Config) *sim.Simulator {
	t.Helper()
	s, err := sim.New(c)
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
