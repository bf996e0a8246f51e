package natsgw_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/natsgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

func authorization() messages.Operation {
	return conformance.NewPayment().Authorize("pm_card_visa", 1999)
}

func gatewayOf(t *testing.T, nc *nats.Conn) *natsgw.Gateway {
	t.Helper()
	g, err := natsgw.New(nc, "bank")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// within bounds a call that should have an immediate answer, so a defect fails the test instead of
// hanging it.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func want(t *testing.T, o messages.Outcome, kind messages.OutcomeKind) {
	t.Helper()
	if o.Kind != kind {
		t.Errorf("outcome is %s (%s), want %s", o.Kind, o.Detail, kind)
	}
}

// listen answers on every subject of the gateway. The server knows of it when it returns.
func listen(t *testing.T, nc *nats.Conn, handle func(*nats.Msg)) {
	t.Helper()
	if _, err := nc.Subscribe("payments.gateway.bank.*", handle); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// arrivals is an observer of a gateway's subjects that can say that nothing came.
type arrivals struct {
	nc       *nats.Conn
	mu       sync.Mutex
	subjects []string
	marked   chan struct{}
}

const marker = "payments.gateway.bank.marker"

func observe(t *testing.T, nc *nats.Conn) *arrivals {
	t.Helper()
	a := &arrivals{nc: nc, marked: make(chan struct{}, 1)}
	listen(t, nc, func(m *nats.Msg) {
		if m.Subject == marker {
			a.marked <- struct{}{}
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.subjects = append(a.subjects, m.Subject)
	})
	return a
}

// until returns the messages that came before one that another connection sends now.
func (a *arrivals) until(t *testing.T, by *nats.Conn) []string {
	t.Helper()
	if err := by.Publish(marker, nil); err != nil {
		t.Fatal(err)
	}
	<-a.marked
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.subjects
}

func TestNobodyListeningIsNotSent(t *testing.T) {
	t.Parallel()
	nc := servers.NATS(t).Connect(t)
	g := gatewayOf(t, nc)
	want(t, g.Do(within(t), authorization()), messages.OutcomeNotSent)
	want(t, g.Lookup(within(t), authorization()), messages.OutcomeUnknown)
}

func TestNobodyListeningBehindAnObserverIsUnknown(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	observe(t, server.Connect(t))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	want(t, gatewayOf(t, server.Connect(t)).Do(ctx, authorization()), messages.OutcomeUnknown)
}

func TestTimeoutIsUnknownAndTheDeadlineTravels(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	asked := make(chan *nats.Msg, 1)
	listen(t, server.Connect(t), func(m *nats.Msg) { asked <- m })
	ctx, cancel := context.WithCancel(t.Context())
	deadline := time.Now().Add(time.Hour)
	ctx, cancelDeadline := context.WithDeadline(ctx, deadline)
	defer cancelDeadline()
	op := authorization()
	answered := make(chan messages.Outcome, 1)
	go func() { answered <- gatewayOf(t, server.Connect(t)).Do(ctx, op) }()
	m := <-asked
	cancel()
	want(t, <-answered, messages.OutcomeUnknown)
	if m.Subject != "payments.gateway.bank.authorize" {
		t.Errorf("asked on %s", m.Subject)
	}
	told, err := protocol.ParseDeadline(m.Header.Get(protocol.HeaderDeadline))
	if err != nil || !told.Equal(deadline) {
		t.Errorf("the deadline is told as %s (%v), want %s", told, err, deadline)
	}
	arrived, err := protocol.DecodeOperation(m.Data)
	if err != nil || arrived != op {
		t.Errorf("%+v arrived (%v), want %+v", arrived, err, op)
	}
}

func TestNothingIsPublishedWithoutNeed(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	seen := observe(t, server.Connect(t))
	nc := server.Connect(t)
	g := gatewayOf(t, nc)
	late, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, g.Do(late, authorization()), messages.OutcomeNotSent)
	want(t, g.Lookup(late, authorization()), messages.OutcomeUnknown)
	for _, kind := range []messages.OperationKind{"", "cancel", "lookup.>", "*", "a b"} {
		op := authorization()
		op.Kind = kind
		want(t, g.Do(within(t), op), messages.OutcomeNotSent)
	}
	huge := authorization()
	huge.MerchantReference = strings.Repeat("x", 2<<20) // more than the server takes
	want(t, g.Do(within(t), huge), messages.OutcomeNotSent)
	if subjects := seen.until(t, nc); len(subjects) != 0 {
		t.Errorf("published on %v", subjects)
	}
}

func TestReconnectingIsNotSentAndStaysSo(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	lost, found := make(chan struct{}, 2), make(chan struct{}, 1) // the end of the connection is a loss too
	nc := server.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }),
		nats.ReconnectHandler(func(*nats.Conn) { found <- struct{}{} }))
	g := gatewayOf(t, nc)
	server.Down()
	<-lost
	want(t, g.Do(within(t), authorization()), messages.OutcomeNotSent)
	want(t, g.Lookup(within(t), authorization()), messages.OutcomeUnknown)
	if err := server.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := observe(t, server.Connect(t))
	<-found
	if subjects := seen.until(t, nc); len(subjects) != 0 {
		t.Errorf("what was said not to have been sent came after the reconnect: %v", subjects)
	}
}

func TestConnectionLostWhileWaitingIsUnknown(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*servers.NATSServer, *nats.Conn, context.CancelFunc){
		// nats.go does not tell that a request was under way when it reconnects: the call waits for
		// its deadline.
		"server gone":       func(s *servers.NATSServer, _ *nats.Conn, giveUp context.CancelFunc) { s.Down(); giveUp() },
		"connection closed": func(_ *servers.NATSServer, nc *nats.Conn, _ context.CancelFunc) { nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := servers.NATS(t)
			asked := make(chan struct{})
			listen(t, server.Connect(t), func(*nats.Msg) { close(asked) })
			nc := server.Connect(t)
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			answered := make(chan messages.Outcome, 1)
			go func() { answered <- gatewayOf(t, nc).Do(ctx, authorization()) }()
			<-asked
			lose(server, nc, giveUp)
			want(t, <-answered, messages.OutcomeUnknown)
		})
	}
}

func TestClosedOrDrainingConnectionIsNotSent(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	listen(t, server.Connect(t), func(m *nats.Msg) { t.Errorf("asked on %s", m.Subject) })
	closed := server.Connect(t)
	closed.Close()
	want(t, gatewayOf(t, closed).Do(within(t), authorization()), messages.OutcomeNotSent)

	draining := server.Connect(t)
	busy, release := make(chan struct{}), make(chan struct{})
	if _, err := draining.Subscribe("busy", func(*nats.Msg) { close(busy); <-release }); err != nil {
		t.Fatal(err)
	}
	if err := draining.Publish("busy", nil); err != nil {
		t.Fatal(err)
	}
	<-busy
	if err := draining.Drain(); err != nil {
		t.Fatal(err)
	}
	want(t, gatewayOf(t, draining).Do(within(t), authorization()), messages.OutcomeNotSent)
	close(release)
	servers.Eventually(t, "the connection is closed", draining.IsClosed)
}

func TestRepliesProveWhatTheySay(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	replies := server.Connect(t)
	var reply func(op messages.Operation) *nats.Msg
	listen(t, replies, func(m *nats.Msg) {
		var op messages.Operation
		if err := json.Unmarshal(m.Data, &op); err != nil {
			t.Error(err)
		}
		if err := m.RespondMsg(reply(op)); err != nil {
			t.Error(err)
		}
	})
	g := gatewayOf(t, server.Connect(t))
	says := func(format string, args ...any) func(messages.Operation) *nats.Msg {
		return func(messages.Operation) *nats.Msg { return &nats.Msg{Data: fmt.Appendf(nil, format, args...)} }
	}
	answers := func(outcome string) func(messages.Operation) *nats.Msg {
		return func(op messages.Operation) *nats.Msg {
			return &nats.Msg{Data: fmt.Appendf(nil, `{"operation_id":%q,%s}`, op.ID, outcome)}
		}
	}
	problem := func(code protocol.Code) func(messages.Operation) *nats.Msg {
		return says("%s", protocol.EncodeProblem(protocol.Problem{Code: code, Message: "why"}))
	}
	for name, c := range map[string]struct {
		reply        func(messages.Operation) *nats.Msg
		done, lookup messages.OutcomeKind
	}{
		"succeeded":             {answers(`"outcome":"succeeded","gateway_reference":"r"`), messages.OutcomeSucceeded, messages.OutcomeSucceeded},
		"pending":               {answers(`"outcome":"pending"`), messages.OutcomePending, messages.OutcomePending},
		"declined":              {answers(`"outcome":"declined","decline_code":"lost_card"`), messages.OutcomeDeclined, messages.OutcomeDeclined},
		"a field of tomorrow":   {answers(`"outcome":"succeeded","gateway_reference":"r","mood":"good"`), messages.OutcomeSucceeded, messages.OutcomeSucceeded},
		"invalid_request":       {problem(protocol.CodeInvalidRequest), messages.OutcomeDeclined, messages.OutcomeUnknown},
		"not_done":              {problem(protocol.CodeNotDone), messages.OutcomeNotSent, messages.OutcomeUnknown},
		"unauthorized":          {problem(protocol.CodeUnauthorized), messages.OutcomeNotSent, messages.OutcomeUnknown},
		"operation_not_found":   {problem(protocol.CodeOperationNotFound), messages.OutcomeUnknown, messages.OutcomeNotFound},
		"in_progress":           {problem(protocol.CodeInProgress), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"idempotency_conflict":  {problem(protocol.CodeIdempotencyConflict), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"internal":              {problem(protocol.CodeInternal), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a code of its own":     {problem("odd"), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"nothing":               {says(""), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"not JSON":              {says("<ok/>"), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"another operation":     {says(`{"operation_id":"other","outcome":"succeeded"}`), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"both":                  {answers(`"outcome":"succeeded","error":{"code":"not_done"}`), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"a whole novel":         {answers(`"outcome":"pending","x":"` + strings.Repeat("x", protocol.BodyBytesMax) + `"`), messages.OutcomeUnknown, messages.OutcomeUnknown},
		"an outcome of no kind": {answers(`"outcome":"not_sent"`), messages.OutcomeUnknown, messages.OutcomeUnknown},
	} {
		reply = c.reply
		if o := g.Do(within(t), authorization()); o.Kind != c.done {
			t.Errorf("%s: Do is %s (%s), want %s", name, o.Kind, o.Detail, c.done)
		}
		if o := g.Lookup(within(t), authorization()); o.Kind != c.lookup {
			t.Errorf("%s: Lookup is %s (%s), want %s", name, o.Kind, o.Detail, c.lookup)
		}
	}
	reply = func(messages.Operation) *nats.Msg {
		m := problem(protocol.CodeRateLimited)(messages.Operation{})
		m.Header = nats.Header{protocol.HeaderRetryAfter: {"7"}}
		return m
	}
	if o := g.Do(within(t), authorization()); o.Kind != messages.OutcomeUnknown || o.RetryAfter != 7*time.Second {
		t.Errorf("%s with a rest of %s, want unknown with 7s", o.Kind, o.RetryAfter)
	}
}

// TestAStreamOnTheSubjectsIsNoConnector has a stream store the requests and acknowledge them to
// the caller.
func TestAStreamOnTheSubjectsIsNoConnector(t *testing.T) {
	t.Parallel()
	nc := servers.NATS(t).Connect(t)
	js := servers.JetStream(t, nc)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "GREEDY", Subjects: []string{"payments.gateway.>"}}); err != nil {
		t.Fatal(err)
	}
	want(t, gatewayOf(t, nc).Do(within(t), authorization()), messages.OutcomeUnknown)
	want(t, gatewayOf(t, nc).Lookup(within(t), authorization()), messages.OutcomeUnknown)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := natsgw.New(nil, "bank"); err == nil {
		t.Error("no connection is taken")
	}
	nc := servers.NATS(t).Connect(t)
	for _, name := range []string{"", "a.b", "a b", ">", "*", "Bank"} {
		if _, err := natsgw.New(nc, name); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
}
