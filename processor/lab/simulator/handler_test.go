package simulator_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim/simtest"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

func TestServe(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, simulator.Config{Config: sim.Config{Hang: time.Minute}})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener, testKey) }()
	address := "http://" + listener.Addr().String()
	g, err := httpgw.New(httpgw.Config{URL: address, APIKey: testKey})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	wrong, err := httpgw.New(httpgw.Config{URL: address, APIKey: "wrong"})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()

	p := gatewaytest.NewPayment()
	op := p.Charge("pm_card_visa", 1999)
	if o := wrong.Do(t.Context(), op); o.Kind != messages.OutcomeNotSent || o.RetryAfter == 0 {
		t.Errorf("with a wrong key it is %+v, want not_sent and a rest", o)
	}
	gatewaytest.Want(t, wrong.Lookup(t.Context(), op), messages.OutcomeUnknown)
	gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)

	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var snapshot sim.Snapshot
	if status := get(t, web, address+simulator.PathLedger, testKey, &snapshot); status != http.StatusOK {
		t.Fatalf("the ledger is answered with %d", status)
	}
	if diff := cmp.Diff(s.Snapshot(), snapshot); diff != "" {
		t.Errorf("the ledger over HTTP differs (-own +fetched):\n%s", diff)
	}
	if status := get(t, web, address+simulator.PathLedger, "wrong", nil); status != http.StatusUnauthorized {
		t.Errorf("with a wrong key the ledger is answered with %d", status)
	}
	challenged := g.Do(t.Context(), gatewaytest.NewPayment().Charge("pm_card_threeDSecure2Required", 1999))
	gatewaytest.Want(t, challenged, messages.OutcomeRequiresAction)
	page := address + strings.TrimPrefix(challenged.NextAction.URL, "https://simulator.invalid")
	for _, open := range []string{address + "/healthz", page} {
		if status := get(t, web, open, "", nil); status != http.StatusOK {
			t.Errorf("%s is answered with %d", open, status)
		}
	}

	held := make(chan messages.Outcome, 1)
	hanging := p.Charge("sim_charge_then_timeout", 1999)
	go func() { held <- g.Do(t.Context(), hanging) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for simtest.Effects(s.Simulator, hanging) == 0 {
		<-tick.C
	}
	stop()
	gatewaytest.Want(t, <-held, messages.OutcomeUnknown)
	if err := <-served; err != nil {
		t.Errorf("serving ended with %v", err)
	}
}

// get reads a page with an API key, decodes it into a value if there is one, and returns the
// status.
func get(t *testing.T, web *http.Client, url, apiKey string, into any) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+apiKey)
	}
	response, err := web.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if into != nil && response.StatusCode == http.StatusOK {
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	return response.StatusCode
}
