package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/webhook"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

const (
	secret = "whsec_test"
	moment = 20 * time.Millisecond
)

// endpoint is the webhook endpoint on a real port, before a real bus.
type endpoint struct {
	t    *testing.T
	bus  *servers.NATSServer
	js   jetstream.JetStream
	url  string
	log  *zap.Logger
	logs *observer.ObservedLogs

	mu      sync.Mutex
	results []webhook.Result
}

// listen makes an endpoint for the gateway "primary".
func listen(t *testing.T, change ...func(*webhook.Config)) *endpoint {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	e := &endpoint{t: t, bus: servers.NATS(t), log: zap.New(core), logs: logs}
	t.Cleanup(e.explain)
	nc := e.bus.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	e.js = servers.JetStream(t, nc)
	e.provision()
	decoder, err := webhook.NewProtocol([]string{secret}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := webhook.Config{Observe: func(_ string, r webhook.Result) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.results = append(e.results, r)
	}}
	for _, c := range change {
		c(&config)
	}
	handler, err := webhook.NewHandler(e.js, map[string]webhook.Decoder{"primary": decoder}, config, e.log)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	e.url = server.URL + "/webhooks/primary"
	return e
}

// explain writes the latest log lines, if the test has failed.
func (e *endpoint) explain() {
	if !e.t.Failed() {
		return
	}
	entries := e.logs.All()
	for _, entry := range entries[max(0, len(entries)-20):] {
		e.t.Log(entry.Level, entry.Message, entry.ContextMap())
	}
}

func (e *endpoint) provision() {
	e.t.Helper()
	if _, err := bus.Provision(e.t.Context(), e.js, bus.StreamOptions{AckWait: 2 * time.Second}, bus.ProvisionOptions{}); err != nil {
		e.t.Fatal(err)
	}
}

// seen counts the requests that ended so.
func (e *endpoint) seen(r webhook.Result) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, got := range e.results {
		if got == r {
			n++
		}
	}
	return n
}

// post sends a body with a signature, and returns the status.
func (e *endpoint) post(url string, body []byte, signature string) int {
	e.t.Helper()
	request, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if signature != "" {
		request.Header.Set(protocol.HeaderSignature, signature)
	}
	return e.do(request)
}

func (e *endpoint) do(request *http.Request) int {
	e.t.Helper()
	// A refusal from the header alone must not meet a client that still writes the body: it would
	// see a reset.
	request.Header.Set("Expect", "100-continue")
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// tell sends an event as the gateway would, and wants it taken.
func (e *endpoint) tell(event protocol.Event) {
	e.t.Helper()
	body := encode(e.t, event)
	if status := e.post(e.url, body, protocol.Sign(body, time.Now(), secret)); status != http.StatusOK {
		e.t.Fatalf("event %s is answered %d", event.ID, status)
	}
}

func encode(t *testing.T, event protocol.Event) []byte {
	t.Helper()
	body, err := protocol.EncodeEvent(event)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// stored is the number of commands in the stream.
func (e *endpoint) stored() uint64 {
	e.t.Helper()
	stream, err := e.js.Stream(e.t.Context(), messages.StreamCommands)
	if err != nil {
		e.t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

// system is an endpoint with a worker behind it and the simulator before it.
type system struct {
	*endpoint
	store  *store.Store
	clock  *store.Clock
	sim    *simulator.Simulator
	client *client.Client
	// gateway is the worker's gateway: the simulator, unless a test puts something before it.
	gateway gateway.Gateway
	policy  payment.Policy
	cfg     worker.Config
}

func setup(t *testing.T, change ...func(*system)) *system {
	t.Helper()
	s := &system{endpoint: listen(t), policy: payment.DefaultPolicy()}
	s.openStore()
	var err error
	s.sim, err = simulator.New(simulator.Config{Config: sim.Config{Hang: time.Minute}, Webhook: simulator.Webhook{
		URL: s.url, Secret: secret, Pause: 5 * time.Millisecond, TriesMax: 100, Lead: time.Millisecond, Moment: moment,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.sim.Close() })
	s.gateway = s.sim
	s.cfg = worker.Config{SlotsMax: 64, AckWait: 2 * time.Second, Patience: 5 * time.Second}
	for _, c := range change {
		c(s)
	}
	s.cfg.Policy = s.policy
	s.work()
	if s.client, err = client.New(s.bus.Connect(t), client.Config{Tenant: "acme"}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *system) openStore() {
	s.t.Helper()
	pool, err := pgxpool.New(s.t.Context(), storetest.Database(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(pool.Close)
	s.store, s.clock = store.New(pool, store.Config{}, s.log), store.NewClock(pool, time.Now)
	s.t.Cleanup(s.store.Close)
}

// work runs a worker until the test ends.
func (s *system) work() {
	s.t.Helper()
	guard, err := gateway.NewGuard("primary", s.gateway, gateway.Settings{Retry: gateway.Retry{TriesMax: 1}})
	if err != nil {
		s.t.Fatal(err)
	}
	set, err := gateway.NewSet(guard)
	if err != nil {
		s.t.Fatal(err)
	}
	w, err := worker.New(worker.Parts{
		JetStream: s.js, Store: s.store, Gateways: set, Router: routing.To("primary"), Log: s.log,
		Clock: s.clock, Now: time.Now,
	}, s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
}

func (s *system) publish(id uuid.UUID, key string, body messages.CommandBody) {
	s.t.Helper()
	if _, err := s.client.Publish(s.t.Context(), messages.Command{PaymentID: id, IdempotencyKey: key, Body: body}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) create(id uuid.UUID, method string) {
	s.t.Helper()
	s.publish(id, id.String(), &messages.Create{AmountMinor: 10000, Currency: "EUR", PaymentMethod: method})
}

// get returns the payment, nil as long as it is not there.
func (s *system) get(id uuid.UUID) *payment.Payment {
	p, err := s.store.Get(s.t.Context(), "acme", id)
	if err != nil {
		return nil
	}
	return p
}

func (s *system) await(id uuid.UUID, status messages.Status) *payment.Payment {
	s.t.Helper()
	servers.Eventually(s.t, "the payment is "+string(status), func() bool {
		p := s.get(id)
		return p != nil && p.Status == status
	})
	return s.get(id)
}

func (s *system) types(id uuid.UUID) (all []messages.EventType) {
	s.t.Helper()
	events, err := s.store.History(s.t.Context(), "acme", id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.t.Fatal(err)
	}
	for _, e := range events {
		all = append(all, e.Type())
	}
	return all
}

func (s *system) count(id uuid.UUID, kind messages.EventType) int {
	s.t.Helper()
	n := 0
	for _, got := range s.types(id) {
		if got == kind {
			n++
		}
	}
	return n
}

func (s *system) awaitEvent(id uuid.UUID, kind messages.EventType) {
	s.t.Helper()
	servers.Eventually(s.t, string(kind)+" is in the history", func() bool { return slices.Contains(s.types(id), kind) })
}

// settled waits until every command that is in the stream now has been settled.
func (s *system) settled() {
	s.t.Helper()
	last := s.stored()
	consumer, err := s.js.Consumer(s.t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		s.t.Fatal(err)
	}
	servers.Eventually(s.t, "every command is settled", func() bool {
		info, err := consumer.Info(s.t.Context())
		return err == nil && info.AckFloor.Stream >= last
	})
}

// about is an event about a payment's nth operation.
func about(id uuid.UUID, n string, eventID string, kind protocol.EventType) protocol.Event {
	e := protocol.Event{
		ID: eventID, Type: kind, OccurredAt: time.Now(), Tenant: "acme", PaymentID: id, OperationID: id.String() + "-" + n,
	}
	if kind == protocol.EventSucceeded {
		e.AmountMinor = 10000 // what every test asks for
	}
	return e
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
