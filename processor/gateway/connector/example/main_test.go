package main

import (
	"context"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

func TestExampleConforms(t *testing.T) {
	t.Setenv("PROVIDER_API_KEY", "key")
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler("key"))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	server := servers.NATS(t)
	for name, args := range map[string][]string{"inside": nil, "behind": {"--url", web.URL}} {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, append([]string{"--nats", server.URL(), "--name", name}, args...)) }()
		target, err := conformance.OverNATS(server.Connect(t), name)
		if err != nil {
			t.Fatal(err)
		}
		cards := conformance.SimulatorCards()
		cards.Slow = "sim_slow_50"
		var report conformance.Report
		servers.Eventually(t, "the connector is there", func() bool {
			report, err = conformance.Run(t.Context(), target, conformance.Options{Cards: cards})
			return err == nil
		})
		if report.Breaches() != 0 || report.Kept() == 0 {
			t.Errorf("%s: %+v", name, report)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestExampleSaysWhatIsWrong(t *testing.T) {
	for name, args := range map[string][]string{
		"no NATS": {"--nats", "nats://127.0.0.1:1"}, "no URL": {"--url", "ftp://bank"}, "no flag": {"--nonsense"},
	} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%s: it runs", name)
		}
	}
}
