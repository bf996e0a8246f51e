package conformance_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

const hookSecret = "whsec_conformance"

// underTest is a server with a defect, and everything that the rules need of it.
type underTest struct {
	target  *conformance.Target
	options conformance.Options
}

// broken starts a simulator with a defect. It keeps a journal, sends webhooks, and can be
// restarted.
func broken(t *testing.T, d defect) underTest {
	t.Helper()
	receiver, err := conformance.Receive(t.Context(), "127.0.0.1:0", hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	hooks := httptest.NewServer(retell(d, receiver.URL()))
	folder, starts := t.TempDir(), 0
	var running atomic.Pointer[simulator.Simulator]
	start := func() error {
		journal := "ledger.jsonl"
		if starts++; d.forgets {
			journal = fmt.Sprintf("ledger-%d.jsonl", starts)
		}
		s, err := simulator.New(simulator.Config{
			Journal: filepath.Join(folder, journal),
			Webhook: simulator.Webhook{URL: hooks.URL, Secret: hookSecret, Pause: 10 * time.Millisecond, Moment: 10 * time.Millisecond},
		})
		running.Store(s)
		return err
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(spoil(d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Load().Handler(testKey).ServeHTTP(w, r)
	})))
	t.Cleanup(func() {
		if err := running.Load().Close(); err != nil {
			t.Error(err)
		}
		server.Close()
		hooks.Close()
		if err := receiver.Close(); err != nil {
			t.Error(err)
		}
	})
	restart := func(context.Context) error {
		if err := running.Load().Close(); err != nil {
			return err
		}
		return start()
	}
	patience := 30 * time.Second
	if d.deaf {
		patience = 3 * time.Second // It is waited out.
	}
	return underTest{overHTTP(t, server.URL, testKey), conformance.Options{
		Cards: testCards(), CallTimeout: 20 * time.Second, Restart: restart, Webhooks: receiver, WebhookTimeout: patience,
		ClockDifference: time.Millisecond, // It is the same clock.
	}}
}

// retell passes events on from a simulator to a receiver, with a defect on their way.
func retell(d defect, to string) http.Handler {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, err := forwardEvent(client, d, to, r)
		if err != nil || d.deaf {
			status = http.StatusOK // The receiver has gone, or is not listened to.
		}
		w.WriteHeader(status)
	})
}

// wantBroken runs all rules and wants these to be broken, with evidence, and no others.
func wantBroken(t *testing.T, u underTest, breaks, perhaps []string) {
	t.Helper()
	report, err := conformance.Run(t.Context(), u.target, u.options)
	if err != nil {
		t.Fatal(err)
	}
	reasons := ""
	got := []string{}
	for _, r := range report.Results {
		if r.Verdict != conformance.Fail {
			continue
		}
		reasons += fmt.Sprintf("%s: %s\n", r.Rule, r.Reason)
		if !slices.Contains(perhaps, r.Rule) {
			got = append(got, r.Rule)
		}
		if r.Reason == "" || len(r.Evidence) == 0 {
			t.Errorf("%s is broken without evidence: %+v", r.Rule, r)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(slices.Values(breaks)), got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("broken (-want +got):\n%s\n%s", diff, reasons)
	}
}

// TestOursBreachesAreFound has servers that were written in a hurry. Each breaks the rules of its
// row and no other.
func TestOursBreachesAreFound(t *testing.T) {
	t.Parallel()
	for _, b := range breaches() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			u := broken(t, b.defect)
			if b.silent {
				u.options.Webhooks = nil
			}
			wantBroken(t, u, b.breaks, b.perhaps)
		})
	}
	t.Run("asks for no key", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(newSimulator(t).Handler(""))
		t.Cleanup(server.Close)
		u := underTest{overHTTP(t, server.URL, testKey), conformance.Options{Cards: testCards(), CallTimeout: 20 * time.Second}}
		wantBroken(t, u, []string{"credentials"}, nil)
	})
}
