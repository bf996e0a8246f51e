package main

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
)

func TestTheConfiguredRateReachesTheGuard(t *testing.T) {
	t.Parallel()
	configured := config.Gateway{Rate: config.Rate{PerSecond: 2.5, Burst: 4}, QueueWait: 3 * time.Second}
	settings := guardSettings(configured, zap.NewNop(), status.NewFeed(time.Now))
	if want := (gateway.Rate{PerSecond: 2.5, Burst: 4}); settings.Rate != want || settings.QueueWait != 3*time.Second {
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
