package rig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	labsim "github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

// What the nasty gateway says is true at the gateway behind it: an operation that it takes for
// pending or in progress is done soon, a void that it refuses never is.
func TestOursNastyGatewayIsTruthful(t *testing.T) {
	t.Parallel()
	gateway, err := labsim.New(labsim.Config{Config: sim.Config{Hang: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gateway.Close() })
	server := httptest.NewServer(gateway.Handler(""))
	t.Cleanup(server.Close)
	dice := newDice(7)
	n, err := startNasty(t.Context(), strings.TrimPrefix(server.URL, "http://"), dice.IntN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.close() })
	const payments = 80
	var working sync.WaitGroup
	refused, done := make(chan protocol.Key, payments), make(chan protocol.Key, 2*payments)
	for range payments {
		working.Go(func() {
			id := uuid.New()
			authorize := messages.Operation{
				ID: id.String() + "-1", Kind: messages.OperationAuthorize, Tenant: "acme", PaymentID: id, Attempt: 1,
				AmountMinor: 100, Currency: "EUR", PaymentMethod: "pm_card_visa",
			}
			status, _ := ask(t, n.addr(), authorize)
			switch status {
			case http.StatusTooManyRequests: // not done
				return
			case http.StatusOK, http.StatusAccepted, http.StatusConflict:
				done <- protocol.KeyOf(authorize)
			default:
				t.Errorf("an authorization gets the status %d", status)
			}
			void := messages.Operation{
				ID: id.String() + "-2", Kind: messages.OperationVoid, Tenant: "acme", PaymentID: id, Attempt: 1,
				AmountMinor: 100, Currency: "EUR", GatewayReference: "auth_" + authorize.ID,
			}
			if status, body := ask(t, n.addr(), void); status == http.StatusPaymentRequired && strings.Contains(body, "processing_error") {
				again, _ := ask(t, n.addr(), void)
				if again != status {
					t.Errorf("a void is refused, and then gets the status %d", again)
				}
				refused <- protocol.KeyOf(void)
			}
		})
	}
	working.Wait()
	close(refused)
	close(done)
	for key := range done {
		eventually(t, func() bool {
			reply := gateway.Find(key)
			return reply.Answer != nil && reply.Answer.Outcome == messages.OutcomeSucceeded
		})
	}
	voids := 0
	for key := range refused {
		voids++
		if reply := gateway.Find(key); reply.Answer != nil {
			t.Errorf("a refused void was done: %+v", reply.Answer)
		}
	}
	for _, what := range []string{"void refused", "in progress", "too many requests", "pending", "late"} {
		if n.counts()[what] == 0 || voids == 0 {
			t.Errorf("%q was never answered: %v", what, n.counts())
		}
	}
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	if err := poll(t.Context(), "wait", holds); err != nil {
		t.Fatal(err)
	}
}

// ask sends an operation and returns the answer.
func ask(t *testing.T, address string, op messages.Operation) (status int, body string) {
	t.Helper()
	text, err := json.Marshal(op)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	response, err := http.Post("http://"+address+protocol.PathOperations, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(answer)
}

// The carrier forgets only what a lookup tells as well, and answers the gateway as if it had
// brought it.
func TestOursForgottenNotificationsAreThoseThatALookupTells(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	brought := map[string]int{}
	status := http.StatusOK
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		event, failed := protocol.DecodeEvent(body)
		if err != nil || failed != nil || r.Header.Get(protocol.HeaderSignature) != "signed" || r.URL.Path != "/webhooks/primary" {
			t.Errorf("brought %s to %s: %v, %v", body, r.URL.Path, err, failed)
		}
		mu.Lock()
		defer mu.Unlock()
		brought[event.ID]++
		w.WriteHeader(status)
	}))
	t.Cleanup(endpoint.Close)
	p, err := startPostman(t.Context(), func() string { return strings.TrimPrefix(endpoint.URL, "http://") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.close() })
	send := func(id string, kind protocol.EventType) int {
		event := protocol.Event{
			ID: id, Type: kind, OccurredAt: time.Unix(1, 0), Tenant: "acme", PaymentID: uuid.New(), OperationID: "o", AmountMinor: 1,
			DisputeID: "d",
		}
		body, err := protocol.EncodeEvent(event)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addr()+"/webhooks/primary", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(protocol.HeaderSignature, "signed")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	random, counts := rand.New(rand.NewPCG(3, 3)), map[string]int{}
	for i := range 120 {
		kind := []protocol.EventType{protocol.EventSucceeded, protocol.EventReversed, protocol.EventDisputeOpened}[i%3]
		id := fmt.Sprint("evt_", random.Uint64())
		if got := send(id, kind); got != http.StatusOK {
			t.Fatalf("the gateway is answered %d", got)
		}
		counts[fmt.Sprint(kind == protocol.EventSucceeded, brought[id])]++
	}
	if counts["false 0"] > 0 || counts["true 0"] == 0 || counts["true 1"] == 0 || counts["true 2"] == 0 || counts["false 2"] == 0 {
		t.Errorf("by whether a lookup tells it, and how often it was brought: %v", counts)
	}
	mu.Lock()
	status = http.StatusServiceUnavailable
	mu.Unlock()
	if got := send("evt_refused", protocol.EventReversed); got != http.StatusOK {
		t.Errorf("the endpoint refuses, and the gateway is answered %d", got)
	}
	mu.Lock()
	refused := brought["evt_refused"]
	status = http.StatusOK
	mu.Unlock()
	eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return brought["evt_refused"] > refused
	})
}
