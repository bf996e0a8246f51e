package bench_test

import (
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// bus is a provisioned bus without a pipeline.
func startBus(t *testing.T) jetstream.JetStream {
	t.Helper()
	js := servers.JetStream(t, servers.NATS(t).Connect(t))
	if _, err := bus.Provision(t.Context(), js, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	return js
}

// standStill answers no command before the last one has come, and then all but the first few.
func standStill(t *testing.T, js jetstream.JetStream, commands, lost int) {
	t.Helper()
	consumer, err := js.OrderedConsumer(t.Context(), messages.StreamCommands, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	arriving, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		arriving.Stop()
		<-done
	})
	go func() {
		defer close(done)
		var answers []string
		for len(answers) < commands {
			msg, err := arriving.Next()
			if err != nil {
				return // the test has failed
			}
			tenant, _, paymentID, err := messages.ParseCommandSubject(msg.Subject())
			if err != nil {
				t.Error(err)
				return
			}
			answers = append(answers, messages.EventSubject(messages.Event{Tenant: tenant, PaymentID: paymentID, Data: &messages.PaymentCaptured{}}))
		}
		for _, subject := range answers[lost:] {
			if _, err := js.Publish(t.Context(), subject, nil); err != nil {
				t.Error(err)
				return
			}
		}
	}()
}

// TestOpenLoopOmitsNothing stops the pipeline for the whole measurement. A client that waits for
// its answers would see one slow payment. Here every payment counts from its due time.
func TestOpenLoopOmitsNothing(t *testing.T) {
	t.Parallel()
	js := startBus(t)
	const rate, n, lost = 400, 200, 3
	standStill(t, js, n, lost)
	found, err := bench.OpenLoop(t.Context(), js, bench.OpenLoopConfig{
		PerSecond: rate, For: n * time.Second / rate, Patience: 15 * time.Second, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if found.Payments != n || found.Missing != lost {
		t.Errorf("%d of %d missing, want %d of %d", found.Missing, found.Payments, lost, n)
	}
	// Payments of the first half waited at least for the second half.
	if half := 1000.0 * n / rate / 2; found.P50 < half*0.95 || found.Max < 2*half*0.95 {
		t.Errorf("p50 %v ms and max %v ms: less than the wait", found.P50, found.Max)
	}
	if events, err := bench.Events(t.Context(), js); err != nil || events != n-lost {
		t.Errorf("%d events: %v", events, err)
	}
}

func TestAwaitEventsGivesUp(t *testing.T) {
	t.Parallel()
	js := startBus(t)
	if err := bench.Backlog(t.Context(), js, 3, messages.CaptureAutomatic, time.Now); err != nil {
		t.Fatal(err)
	}
	standStill(t, js, 3, 0)
	nineTenths, err := bench.AwaitEvents(t.Context(), js, 0, 3, time.Minute, time.Now)
	if err != nil || nineTenths.IsZero() {
		t.Errorf("%v: %v", nineTenths, err)
	}
	if _, err := bench.AwaitEvents(t.Context(), js, 0, 4, time.Millisecond, time.Now); err == nil {
		t.Error("an event that does not exist has come")
	}
}
