package chaos_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// The audits are right while payments are processed: unfinished work is no violation.
func TestAuditsWhileTrafficRuns(t *testing.T) {
	t.Parallel()
	s := setup(t, 400)
	done := make(chan error, 1)
	go func() {
		s.workload.Run(t.Context())
		_, err := chaos.Await(t.Context(), s.pool, s.js, chaos.AwaitConfig{Now: time.Now})
		done <- err
	}()
	rounds := 0
	for running := true; running; rounds++ {
		select {
		case err := <-done:
			s.must(err)
			running = false
		default:
		}
		bus, err := audit.Bus(t.Context(), s.pool, s.js, audit.BusOptions{Workers: 1 + rounds%3})
		s.must(err)
		gateways, err := audit.Gateways(t.Context(), s.pool, s.ledgers, audit.GatewayOptions{})
		s.must(err)
		if !bus.Clean() || !gateways.Clean() {
			t.Fatalf("round %d: %+v, %+v", rounds, bus.Findings, gateways.Findings)
		}
	}
	var last, total int64
	bus, err := audit.Bus(t.Context(), s.pool, s.js, audit.BusOptions{Progress: func(d, of int64) { last, total = d, of }})
	s.must(err)
	gateways, err := audit.Gateways(t.Context(), s.pool, s.ledgers, audit.GatewayOptions{})
	s.must(err)
	t.Logf("%d rounds, %d messages", rounds, bus.Messages)
	if !bus.Clean() || bus.Messages == 0 || bus.Messages != bus.Committed || last != total || last != bus.Messages {
		t.Errorf("at rest: %+v, told %d of %d", bus, last, total)
	}
	if !gateways.Clean() || gateways.Effects == 0 || rounds < 3 {
		t.Errorf("at rest: %+v, after %d rounds", gateways, rounds)
	}
}

// An event that aged out of the stream is not reported as missing.
func TestAgedEventsAreNotMissed(t *testing.T) {
	t.Parallel()
	s := setup(t, 20)
	s.workload.Run(t.Context())
	s.await()
	stream, err := s.js.Stream(t.Context(), messages.StreamEvents)
	s.must(err)
	config := stream.CachedInfo().Config
	config.MaxAge = time.Second
	_, err = s.js.UpdateStream(t.Context(), config)
	s.must(err)
	servers.Eventually(t, "all events have aged", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
	report, err := audit.Bus(t.Context(), s.pool, s.js, audit.BusOptions{})
	s.must(err)
	if !report.Clean() || report.Messages != 0 || report.Committed != 0 || report.Since.IsZero() {
		t.Errorf("found %+v", report)
	}
	config.MaxAge = 0
	_, err = s.js.UpdateStream(t.Context(), config)
	s.must(err)
	if report, err = audit.Bus(t.Context(), s.pool, s.js, audit.BusOptions{FindingsMax: 3}); err != nil || report.Clean() ||
		report.Violated[audit.Published] != report.Committed || len(report.Findings) != 3 {
		t.Errorf("on a stream that loses nothing by age, nothing is missed: %+v, %v", report, err)
	}
}
