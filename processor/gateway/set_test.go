package gateway_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway"
)

func TestSet(t *testing.T) {
	t.Parallel()
	named := func(name string) *gateway.Guard {
		g, err := gateway.NewGuard(name, says(approved()), gateway.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	set, err := gateway.NewSet(named("second"), named("first"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"first", "second"}; !slices.Equal(set.Names(), want) {
		t.Errorf("names are %q, want %q", set.Names(), want)
	}
	if g, ok := set.Get("first"); !ok || g.Name() != "first" {
		t.Error("the first gateway is not found under its name")
	}
	if _, ok := set.Get("third"); ok {
		t.Error("a gateway is found that was never put in")
	}
	if _, err := gateway.NewSet(named("one"), named("one")); err == nil {
		t.Error("two gateways of one name are taken")
	}
}

func TestNewGuardRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*gateway.Settings){
		"a negative timeout":              func(s *gateway.Settings) { s.Timeouts.Refund = -time.Second },
		"a negative wait":                 func(s *gateway.Settings) { s.QueueWait = -1 },
		"negative concurrency":            func(s *gateway.Settings) { s.ConcurrencyMax = -1 },
		"negative tries":                  func(s *gateway.Settings) { s.Retry.TriesMax = -1 },
		"a failure ratio over 1":          func(s *gateway.Settings) { s.Breaker.FailureRatio = 1.1 },
		"a negative failure ratio":        func(s *gateway.Settings) { s.Breaker.FailureRatio = -0.1 },
		"a negative number of probes":     func(s *gateway.Settings) { s.Breaker.ProbesMax = -1 },
		"a negative window":               func(s *gateway.Settings) { s.Breaker.Window = -1 },
		"a negative time for quick tries": func(s *gateway.Settings) { s.Retry.Total = -1 },
		"a negative rate":                 func(s *gateway.Settings) { s.Rate.PerSecond = -1 },
		"a rate of next to nothing":       func(s *gateway.Settings) { s.Rate.PerSecond = 1e-9 },
		"a rate that is no number":        func(s *gateway.Settings) { s.Rate.PerSecond = math.NaN() },
		"an endless rate":                 func(s *gateway.Settings) { s.Rate.PerSecond = math.Inf(1) },
		"a negative burst":                func(s *gateway.Settings) { s.Rate = gateway.Rate{PerSecond: 1, Burst: -1} },
	} {
		var s gateway.Settings
		change(&s)
		if _, err := gateway.NewGuard("acquirer", says(approved()), s); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := gateway.NewGuard("", says(approved()), gateway.Settings{}); err == nil {
		t.Error("a gateway without a name is taken")
	}
	if _, err := gateway.NewGuard("acquirer", nil, gateway.Settings{}); err == nil {
		t.Error("no gateway at all is taken")
	}
}
