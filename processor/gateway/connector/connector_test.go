package connector_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/connector"
	"github.com/seed-384b1f8a/tender/processor/gateway/natsgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// asked is a gateway that gives the test's answers.
type asked struct {
	do, lookup func(context.Context, messages.Operation) messages.Outcome
}

func (a asked) Do(ctx context.Context, op messages.Operation) messages.Outcome { return a.do(ctx, op) }

func (a asked) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	return a.lookup(ctx, op)
}

func says(o messages.Outcome) asked {
	return asked{
		do:     func(context.Context, messages.Operation) messages.Outcome { return o },
		lookup: func(context.Context, messages.Operation) messages.Outcome { return o },
	}
}

func succeeds(context.Context, messages.Operation) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "ref", AmountMinor: 1999}
}

func authorization() messages.Operation {
	return conformance.NewPayment().Authorize("pm_card_visa", 1999)
}

// start runs a connector on a connection of its own, stopped at the end of the test.
func start(t *testing.T, server *servers.NATSServer, c connector.Config) *connector.Connector {
	t.Helper()
	if c.Name == "" {
		c.Name = "bank"
	}
	if c.OnError == nil {
		c.OnError = func(err error) { t.Errorf("the connector reports %v", err) }
	}
	running, err := connector.Start(server.Connect(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return running
}

func client(t *testing.T, server *servers.NATSServer) *natsgw.Gateway {
	t.Helper()
	g, err := natsgw.New(server.Connect(t), "bank")
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

// noListener reports whether the server knows of no connector. A question just before may go to
// one that ends, and stay without an answer.
func noListener(t *testing.T, nc *nats.Conn) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := nc.RequestWithContext(ctx, protocol.Subject("bank", protocol.EndpointLookup), []byte("rubbish"))
	return errors.Is(err, nats.ErrNoResponders)
}

func TestConformsOverNATS(t *testing.T) {
	t.Parallel()
	s, err := sim.New(sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := servers.NATS(t)
	for range 2 { // which of them is asked must not matter
		start(t, server, connector.Config{Gateway: s})
	}
	target, err := conformance.OverNATS(server.Connect(t), "bank")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(target.Close)
	cards := conformance.SimulatorCards()
	cards.Slow = "sim_slow_50"
	report, err := conformance.Run(t.Context(), target, conformance.Options{Cards: cards})
	if err != nil {
		t.Fatal(err)
	}
	var leftOut []string
	for _, r := range report.Results {
		switch r.Verdict {
		case conformance.Fail:
			t.Errorf("%s: %s\n%s", r.Rule, r.Reason, strings.Join(r.Evidence, "\n"))
		case conformance.LeftOut:
			leftOut = append(leftOut, r.Rule)
		case conformance.Pass:
		}
	}
	if diff := cmp.Diff([]string{
		"content-type", "credentials", "health", "webhook-signed", "webhook-tells", "webhook-repeated", "restart-remembers",
	}, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

// TestProofTravels holds that a caller concludes the same as a caller in process.
func TestProofTravels(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	decline := gateway.ClassifyDecline("lost_card", "41", "")
	for _, o := range []messages.Outcome{
		{Kind: messages.OutcomeSucceeded, GatewayReference: "ref", AmountMinor: 1999},
		{Kind: messages.OutcomePending},
		{Kind: messages.OutcomeDeclined, Decline: &decline},
		{Kind: messages.OutcomeNotSent, Detail: "no connection to the bank", RetryAfter: 3 * time.Second},
		{Kind: messages.OutcomeUnknown, Detail: "the bank hung up", RetryAfter: 2 * time.Second},
	} {
		running := start(t, server, connector.Config{Gateway: says(o)})
		got := client(t, server).Do(within(t), authorization())
		if got.Kind != o.Kind || got.RetryAfter != o.RetryAfter || !strings.Contains(got.Detail, o.Detail) {
			t.Errorf("%+v arrives as %+v", o, got)
		}
		if err := running.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShowsUpAsAService(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	running := start(t, server, connector.Config{
		Gateway: asked{do: succeeds, lookup: says(messages.Outcome{Kind: messages.OutcomeUnknown}).Do}, Version: "1.2.3",
		Metadata: map[string]string{"region": "eu"},
	})
	g, nc := client(t, server), server.Connect(t)
	want(t, g.Do(within(t), authorization()), messages.OutcomeSucceeded)
	want(t, g.Lookup(within(t), authorization()), messages.OutcomeUnknown)
	if _, err := nc.RequestWithContext(t.Context(), "payments.gateway.bank.refund", []byte("<refund/>")); err != nil {
		t.Fatal(err)
	}

	var info micro.Info
	control(t, nc, micro.InfoVerb, &info)
	if info.Name != "gateway-bank" || info.Version != "1.2.3" || info.ID != running.Info().ID ||
		info.Metadata["region"] != "eu" || info.Metadata["gateway"] != "bank" {
		t.Errorf("the service is %+v", info.ServiceIdentity)
	}
	var endpoints []string
	for _, e := range info.Endpoints {
		endpoints = append(endpoints, e.Name)
		if e.Subject != "payments.gateway.bank."+e.Name || e.QueueGroup != "gateway-bank" || e.Metadata["asks_for"] == "" {
			t.Errorf("endpoint %+v", e)
		}
	}
	if diff := cmp.Diff(protocol.Endpoints(), endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}

	var stats micro.Stats
	control(t, nc, micro.StatsVerb, &stats)
	seen := make(map[string]connector.Stats)
	for _, e := range stats.Endpoints {
		var s connector.Stats
		if err := json.Unmarshal(e.Data, &s); err != nil {
			t.Fatal(err)
		}
		s.AverageMillis = 0
		seen[e.Name] = s
	}
	wantStats := map[string]connector.Stats{
		"authorize": {Answered: 1}, "confirm": {}, "capture": {}, "void": {}, "refund": {Refused: 1}, "lookup": {InDoubt: 1},
	}
	if diff := cmp.Diff(wantStats, seen); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// control asks a service as `nats micro` does.
func control(t *testing.T, nc *nats.Conn, verb micro.Verb, into any) {
	t.Helper()
	subject, err := micro.ControlSubject(verb, "gateway-bank", "")
	if err != nil {
		t.Fatal(err)
	}
	reply, err := nc.RequestWithContext(t.Context(), subject, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reply.Data, into); err != nil {
		t.Fatal(err)
	}
}

func TestLateWorkIsRefused(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	fromNow := time.Now().Add(time.Hour)
	start(t, server, connector.Config{
		Now: func() time.Time { return fromNow },
		Gateway: asked{
			do: func(context.Context, messages.Operation) messages.Outcome {
				t.Error("late work was done")
				return messages.Outcome{}
			},
			lookup: succeeds,
		},
	})
	g := client(t, server)
	ctx, cancel := context.WithDeadline(t.Context(), fromNow)
	defer cancel()
	o := g.Do(ctx, authorization())
	want(t, o, messages.OutcomeNotSent)
	if !strings.Contains(o.Detail, protocol.FormatDeadline(fromNow)) {
		t.Errorf("detail %q does not name the deadline", o.Detail)
	}
	want(t, g.Lookup(ctx, authorization()), messages.OutcomeUnknown)
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	bounds := make(chan time.Duration, 1)
	start(t, server, connector.Config{CallTimeout: time.Hour, Gateway: asked{do: func(ctx context.Context, op messages.Operation) messages.Outcome {
		deadline, ok := ctx.Deadline()
		if !ok {
			t.Error("a call has no deadline")
		}
		bounds <- time.Until(deadline)
		return succeeds(ctx, op)
	}}})
	g := client(t, server)
	for _, c := range []struct{ given, most time.Duration }{{0, time.Hour}, {time.Minute, time.Minute}, {2 * time.Hour, time.Hour}} {
		ctx := t.Context()
		if c.given > 0 {
			within, cancel := context.WithTimeout(ctx, c.given)
			defer cancel()
			ctx = within
		}
		want(t, g.Do(ctx, authorization()), messages.OutcomeSucceeded)
		if bound := <-bounds; bound > c.most {
			t.Errorf("a call with %s left may take %s", c.given, bound)
		}
	}
}

func TestWhatHasNoPlaceIsNotDone(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	begun, release := make(chan struct{}), make(chan struct{})
	start(t, server, connector.Config{CallsMax: 1, Gateway: asked{do: func(ctx context.Context, op messages.Operation) messages.Outcome {
		close(begun)
		<-release
		return succeeds(ctx, op)
	}}})
	g := client(t, server)
	var first sync.WaitGroup
	first.Go(func() { want(t, g.Do(within(t), authorization()), messages.OutcomeSucceeded) })
	<-begun
	if o := g.Do(within(t), authorization()); o.Kind != messages.OutcomeNotSent || o.RetryAfter == 0 {
		t.Errorf("it is %s (%s) with a rest of %s, want not_sent and a rest", o.Kind, o.Detail, o.RetryAfter)
	}
	close(release)
	first.Wait()
}

func TestAPanicCostsOneAnswer(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	var calls atomic.Int64
	panics := make(chan any, 1)
	start(t, server, connector.Config{
		OnPanic: func(value any, _ []byte) { panics <- value },
		Gateway: asked{do: func(ctx context.Context, op messages.Operation) messages.Outcome {
			if calls.Add(1) == 1 {
				panic("secret")
			}
			return succeeds(ctx, op)
		}},
	})
	g := client(t, server)
	o := g.Do(within(t), authorization())
	want(t, o, messages.OutcomeUnknown)
	if strings.Contains(o.Detail, "secret") {
		t.Errorf("the panic is told: %s", o.Detail)
	}
	if value := <-panics; value != "secret" {
		t.Errorf("OnPanic hears of %v", value)
	}
	want(t, g.Do(within(t), authorization()), messages.OutcomeSucceeded)
}

func TestInstancesShareTheWork(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	var did [3]atomic.Int64
	for i := range did {
		start(t, server, connector.Config{Gateway: asked{do: func(ctx context.Context, op messages.Operation) messages.Outcome {
			did[i].Add(1)
			return succeeds(ctx, op)
		}}})
	}
	g := client(t, server)
	const operations = 300
	for range operations {
		want(t, g.Do(within(t), authorization()), messages.OutcomeSucceeded)
	}
	total := int64(0)
	for i := range did {
		if n := did[i].Load(); n == 0 {
			t.Errorf("instance %d did nothing", i)
		} else {
			total += n
		}
	}
	if total != operations {
		t.Errorf("%d operations were done %d times", operations, total)
	}
}

func TestStopFinishesWhatWasBegun(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	begun, release := make(chan struct{}), make(chan struct{})
	running := start(t, server, connector.Config{Gateway: asked{do: func(ctx context.Context, op messages.Operation) messages.Outcome {
		close(begun)
		<-release
		return succeeds(ctx, op)
	}}})
	g := client(t, server)
	var first sync.WaitGroup
	first.Go(func() { want(t, g.Do(within(t), authorization()), messages.OutcomeSucceeded) })
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- running.Stop(t.Context()) }()
	observer := server.Connect(t)
	servers.Eventually(t, "no new request is taken", func() bool { return noListener(t, observer) })
	want(t, g.Do(within(t), authorization()), messages.OutcomeNotSent)
	select {
	case err := <-stopped:
		t.Errorf("stopped with a call under way: %v", err)
		stopped <- err
	default:
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	first.Wait()
}

func TestStopEndsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	begun := make(chan struct{})
	running := start(t, server, connector.Config{Gateway: asked{do: func(ctx context.Context, _ messages.Operation) messages.Outcome {
		close(begun)
		<-ctx.Done()
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "canceled"}
	}}})
	var first sync.WaitGroup
	g := client(t, server)
	first.Go(func() {
		o := g.Do(within(t), authorization())
		if o.Kind != messages.OutcomeUnknown || !strings.Contains(o.Detail, "canceled") {
			t.Errorf("it is %s (%s), want unknown, as the gateway says", o.Kind, o.Detail)
		}
	})
	<-begun
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := running.Stop(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop returns %v, want that it was canceled", err)
	}
	first.Wait()
	if err := running.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop returns %v", err)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	nc := servers.NATS(t).Connect(t)
	good := connector.Config{Name: "bank", Gateway: says(messages.Outcome{})}
	for name, change := range map[string]func(*connector.Config){
		"no name":               func(c *connector.Config) { c.Name = "" },
		"a name of two tokens":  func(c *connector.Config) { c.Name = "my.bank" },
		"no gateway":            func(c *connector.Config) { c.Gateway = nil },
		"fewer calls than none": func(c *connector.Config) { c.CallsMax = -1 },
		"a negative timeout":    func(c *connector.Config) { c.CallTimeout = -1 },
		"a version of its own":  func(c *connector.Config) { c.Version = "one" },
	} {
		c := good
		change(&c)
		if _, err := connector.Start(nc, c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := connector.Start(nil, good); err == nil {
		t.Error("no connection is taken")
	}
	nc.Close()
	if _, err := connector.Start(nc, good); err == nil {
		t.Error("a closed connection is taken")
	}
}
