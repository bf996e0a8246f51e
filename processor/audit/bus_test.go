package audit_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
)

// relay publishes everything that is committed until the test ends.
func (h *held) relay(t *testing.T) {
	t.Helper()
	relay, err := outbox.NewRelay(h.Pool, h.js, outbox.RelayConfig{PollInterval: 5 * time.Millisecond}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- relay.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (h *held) drained() {
	h.Helper()
	servers.Eventually(h, "everything is published", func() bool { return h.Count(`SELECT count(*) FROM outbox`) == 0 })
}

// replace makes the stream of events anew, empty.
func (h *held) replace(maxAge time.Duration) {
	h.Helper()
	stream, err := h.js.Stream(h.Context(), messages.StreamEvents)
	if err != nil {
		h.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if err := h.js.DeleteStream(h.Context(), messages.StreamEvents); err != nil {
		h.Fatal(err)
	}
	config.MaxAge = maxAge
	if _, err := h.js.CreateStream(h.Context(), config); err != nil {
		h.Fatal(err)
	}
}

func (h *held) compareBus(payments ...uuid.UUID) audit.BusReport {
	h.Helper()
	report, err := audit.Bus(h.Context(), h.Pool, h.js, audit.BusOptions{Payments: payments})
	if err != nil {
		h.Fatal(err)
	}
	return report
}

// pay makes a payment whose events occur at a time, and returns its id.
func (h *held) pay(at time.Time) uuid.UUID {
	h.Helper()
	id := storetest.NewID()
	h.Handle(storetest.Create(id, id.String(), ""), storetest.Succeeded(), at)
	return id
}

// An emptied stream is not excused by its max age, and what has aged is not missed.
func TestOursOnlyAgeExcusesAMissingEvent(t *testing.T) {
	t.Parallel()
	h := setupHeld(t)
	h.relay(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	old, young := h.pay(now.Add(-3*time.Hour)), h.pay(now.Add(-10*time.Minute))
	h.drained()
	if report := h.compareBus(); !report.Clean() || report.Messages == 0 {
		t.Fatalf("found %+v", report.Findings)
	}
	h.replace(time.Hour)
	for _, report := range []audit.BusReport{h.compareBus(), h.compareBus(old, young)} {
		if report.Violated[audit.Published] == 0 {
			t.Error("an emptied stream passes")
		}
		for _, f := range report.Findings {
			if f.PaymentID != young {
				t.Errorf("an event that has aged is missed: %+v", f)
			}
		}
	}
	// One more event does not excuse what is missing before it.
	latest := h.pay(now)
	h.drained()
	if report := h.compareBus(); report.Violated[audit.Published] == 0 || len(report.Findings) > 0 && report.Findings[0].PaymentID != young {
		t.Errorf("a stream that was emptied and goes on: %+v", report.Findings)
	}
	if report := h.compareBus(latest); !report.Clean() {
		t.Errorf("the latest payment: %+v", report.Findings)
	}
}

// One payment is compared as all are.
func TestOursOnePaymentIsComparedWithTheBus(t *testing.T) {
	t.Parallel()
	h := setupHeld(t)
	h.relay(t)
	lost := h.pay(storetest.Start())
	h.drained()
	h.replace(0)
	whole := h.pay(storetest.Start())
	h.drained()
	if report := h.compareBus(whole); !report.Clean() || report.Messages == 0 || report.Committed != report.Messages {
		t.Errorf("a payment that is on the bus: %+v", report)
	}
	if report := h.compareBus(lost); report.Violated[audit.Published] == 0 {
		t.Error("a payment that the bus has lost passes")
	}
	h.Unprotect()
	h.Exec(`UPDATE payment_events SET data = replace(data::text, 'USD', 'EUR')::json WHERE payment_id = $1`, whole)
	if report := h.compareBus(whole); report.Violated[audit.BusMatchesHistory] == 0 {
		t.Error("a payment whose history was changed passes")
	}
}
