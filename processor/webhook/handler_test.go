package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/webhook"
)

// exchange sends one event to a handler without a network in between.
func exchange(t *testing.T, handler http.Handler, body []byte, signature string) int {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/primary", bytes.NewReader(body))
	request.Header.Set(protocol.HeaderSignature, signature)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder.Code
}

func TestWhatIsNotTheGatewaysIsRefused(t *testing.T) {
	t.Parallel()
	e := listen(t)
	now := time.Now()
	body := encode(t, about(newID(), "1", "evt_1", protocol.EventSucceeded))
	right := protocol.Sign(body, now, secret)
	for name, c := range map[string]struct {
		body      []byte
		signature string
		status    int
	}{
		"unsigned":           {body, "", http.StatusBadRequest},
		"signed by another":  {body, protocol.Sign(body, now, "guess"), http.StatusBadRequest},
		"changed on its way": {bytes.Replace(body, []byte("acme"), []byte("evil"), 1), right, http.StatusBadRequest},
		"replayed later":     {body, protocol.Sign(body, now.Add(-6*time.Minute), secret), http.StatusBadRequest},
		"too long":           {bytes.Repeat([]byte(" "), webhook.BodyBytesMax+1), right, http.StatusRequestEntityTooLarge},
	} {
		if status := e.post(e.url, c.body, c.signature); status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
	if n := e.stored(); n != 0 {
		t.Errorf("%d commands are on the bus", n)
	}
	for _, entry := range e.logs.All() {
		for _, field := range entry.Context {
			if strings.Contains(field.String, "event_id") {
				t.Errorf("a body is in the log: %s", field.String)
			}
		}
	}
	for range 2 { // The second is a replay within the age limit.
		if status := e.post(e.url, body, right); status != http.StatusOK {
			t.Errorf("the real one is answered %d", status)
		}
	}
	if n := e.stored(); n != 1 {
		t.Errorf("%d commands are on the bus, want 1", n)
	}
}

func TestTheLengthIsLimitedHoweverItIsSent(t *testing.T) {
	t.Parallel()
	e := listen(t)
	chunked := struct{ io.Reader }{bytes.NewReader(make([]byte, webhook.BodyBytesMax+1))}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, chunked)
	if err != nil {
		t.Fatal(err)
	}
	if status := e.do(request); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", status)
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	t.Parallel()
	e := listen(t)
	base := strings.TrimSuffix(e.url, "/webhooks/primary")
	for _, path := range []string{"/", "/webhooks", "/webhooks/", "/webhooks/other", "/webhooks/primary/", "//webhooks/primary", "/webhooks/../webhooks/primary"} {
		if status := e.post(base+path, []byte("{}"), ""); status != http.StatusNotFound {
			t.Errorf("%s is answered %d", path, status)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		request, err := http.NewRequestWithContext(t.Context(), method, e.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if status := e.do(request); status != http.StatusMethodNotAllowed {
			t.Errorf("%s is answered %d", method, status)
		}
	}
}

func TestASignedEventThatMakesNoSenseIsKept(t *testing.T) {
	t.Parallel()
	e := listen(t)
	id := newID()
	for name, change := range map[string]func(*protocol.Event){
		"no id":              func(v *protocol.Event) { v.ID = "" },
		"a tenant with dots": func(v *protocol.Event) { v.Tenant = "a.b" },
		"a wildcard tenant":  func(v *protocol.Event) { v.Tenant = ">" },
		"no payment":         func(v *protocol.Event) { v.PaymentID = [16]byte{} },
		"no operation":       func(v *protocol.Event) { v.OperationID = "" },
		"an amount under 0":  func(v *protocol.Event) { v.AmountMinor = -1 },
		"a card number":      func(v *protocol.Event) { v.GatewayReference = "card 4111 1111 1111 1111" },
		"no decline code":    func(v *protocol.Event) { v.Type = protocol.EventDeclined },
		"no next action":     func(v *protocol.Event) { v.Type = protocol.EventRequiresAction },
		"no dispute":         func(v *protocol.Event) { v.Type = protocol.EventDisputeLost },
	} {
		event := about(id, "1", "evt_1", protocol.EventSucceeded)
		change(&event)
		body := encode(t, event)
		if status := e.post(e.url, body, protocol.Sign(body, time.Now(), secret)); status != http.StatusOK {
			t.Errorf("%s is answered %d", name, status)
		}
	}
	if e.seen(webhook.ResultKept) != 10 || len(e.letters()) != 10 || e.stored() != 0 {
		t.Errorf("%d are kept in %d letters, %d are on the bus", e.seen(webhook.ResultKept), len(e.letters()), e.stored())
	}
	for _, entry := range e.logs.All() {
		for _, field := range entry.Context {
			if strings.Contains(field.String, "4111 1111 1111 1111") {
				t.Error("a card number is in the log")
			}
		}
	}
}

func TestTheGatewaySendsAgainWhileTheBusIsAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := newID()
	s.create(id, "pm_card_createDispute")
	s.await(id, messages.StatusCaptured)
	s.awaitEvent(id, messages.EventDisputeOpened)
	s.settled()
	if err := s.js.DeleteStream(t.Context(), messages.StreamCommands); err != nil {
		t.Fatal(err)
	}
	if err := s.sim.MoveDispute("dp_"+id.String()+"-1", "won"); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "the event is turned away", func() bool { return s.seen(webhook.ResultUnavailable) > 1 })
	s.provision()
	s.awaitEvent(id, messages.EventDisputeWon)
}

func TestWithoutABusItIsNotTaken(t *testing.T) {
	t.Parallel()
	e := listen(t, func(c *webhook.Config) { c.PublishTimeout = 50 * time.Millisecond })
	e.bus.Down()
	body := encode(t, about(newID(), "1", "evt_1", protocol.EventSucceeded))
	if status := e.post(e.url, body, protocol.Sign(body, time.Now(), secret)); status != http.StatusServiceUnavailable {
		t.Fatalf("%d, want 503", status)
	}
	e.bus.Restart(t)
	servers.Eventually(t, "the next try lands", func() bool {
		return e.post(e.url, body, protocol.Sign(body, time.Now(), secret)) == http.StatusOK
	})
	if n := e.stored(); n != 1 {
		t.Errorf("%d commands are on the bus, want 1", n)
	}
}

// stuckBus never acknowledges.
type stuckBus struct {
	jetstream.Publisher
	entered chan struct{}
	leave   chan struct{}
}

func (b *stuckBus) PublishMsg(context.Context, *nats.Msg, ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	b.entered <- struct{}{}
	<-b.leave
	return &jetstream.PubAck{}, nil
}

func newStuck(t *testing.T, requests int) (*stuckBus, *webhook.Handler) {
	t.Helper()
	bus := &stuckBus{entered: make(chan struct{}), leave: make(chan struct{})}
	decoder, err := webhook.NewProtocol([]string{secret}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := webhook.NewHandler(bus, map[string]webhook.Decoder{"primary": decoder}, webhook.Config{RequestsMax: requests}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return bus, h
}

func TestMoreThanItCanDoIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	bus, h := newStuck(t, 1)
	body := encode(t, about(newID(), "1", "evt_1", protocol.EventSucceeded))
	signature := protocol.Sign(body, time.Now(), secret)
	first := make(chan int, 1)
	go func() { first <- exchange(t, h, body, signature) }()
	<-bus.entered
	if status := exchange(t, h, body, signature); status != http.StatusServiceUnavailable {
		t.Errorf("the second is answered %d", status)
	}
	close(bus.leave)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first is answered %d", status)
	}
}

func TestServeFinishesWhatWasBegun(t *testing.T) {
	t.Parallel()
	bus, h := newStuck(t, 0)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- webhook.Serve(ctx, listener, h, time.Minute) }()
	body := encode(t, about(newID(), "1", "evt_1", protocol.EventSucceeded))
	e := &endpoint{t: t}
	status := make(chan int, 1)
	go func() {
		status <- e.post("http://"+listener.Addr().String()+"/webhooks/primary", body, protocol.Sign(body, time.Now(), secret))
	}()
	<-bus.entered
	stop()
	servers.Eventually(t, "no more connections are taken", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(bus.leave)
	if got := <-status; got != http.StatusOK {
		t.Errorf("what was begun is answered %d", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestWhatMakesNoSenseIsNotServed(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string][]string{"none": nil, "an empty one": {"a", ""}} {
		if _, err := webhook.NewProtocol(secrets, 0, nil); err == nil {
			t.Errorf("secrets: %s", name)
		}
	}
	if _, err := webhook.NewHandler(nil, map[string]webhook.Decoder{"a/b": nil}, webhook.Config{}, zap.NewNop()); err == nil {
		t.Error("a name with a slash is taken")
	}
}

// FuzzDecode holds that every signed body makes commands that are about a payment, or an error, or
// nothing.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"event_id":"evt_1","type":"operation.declined","tenant":"acme","payment_id":"01980000-0000-7000-8000-000000000001",` +
		`"operation_id":"01980000-0000-7000-8000-000000000001-1","decline_code":"lost_card"}`))
	f.Add([]byte(`{"type":"dispute.opened","dispute_id":"","amount_minor":-1,"respond_before":"0001-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"type":"operation.requires_action","next_action":null}`))
	f.Add([]byte(`[]`))
	decoder, err := webhook.NewProtocol([]string{secret}, 0, nil)
	if err != nil {
		f.Fatal(err)
	}
	taken := &countingBus{}
	handler, err := webhook.NewHandler(taken, map[string]webhook.Decoder{"primary": decoder}, webhook.Config{}, zap.NewNop())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		taken.last = nil
		status := exchange(t, handler, body, protocol.Sign(body, time.Now(), secret))
		if taken.last != nil && strings.HasPrefix(taken.last.Subject, "payments.dlq.") {
			if messages.ContainsCardNumber(taken.last.Data) {
				t.Fatalf("a dead letter holds a card number: %s", taken.last.Data)
			}
			return
		}
		if status == http.StatusOK && taken.last != nil {
			cmd, err := messages.DecodeCommand(taken.last.Subject, taken.last.Header, taken.last.Data)
			if n, ok := cmd.Body.(*messages.Notify); err != nil || !ok || n.Gateway != "primary" || cmd.IdempotencyKey == "" {
				t.Fatalf("%+v: %v", cmd, err)
			}
		}
	})
}

// countingBus takes everything.
type countingBus struct {
	jetstream.Publisher
	last *nats.Msg
}

func (b *countingBus) PublishMsg(_ context.Context, msg *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if msg == nil {
		return nil, errors.New("nothing was published")
	}
	b.last = msg
	return &jetstream.PubAck{}, nil
}
