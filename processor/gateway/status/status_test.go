package status_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// down is a gateway that cannot be reached.
type down struct{}

func (down) Do(context.Context, messages.Operation) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "no connection"}
}

func (down) Lookup(context.Context, messages.Operation) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no connection"}
}

// instance is one process with its gateways.
type instance struct {
	set  *gateway.Set
	feed *status.Feed
}

// fail makes one call that fails, which opens the breaker of that gateway.
func (i instance) fail(t *testing.T, name string) {
	t.Helper()
	g, ok := i.set.Get(name)
	if !ok {
		t.Fatalf("there is no gateway %s", name)
	}
	id := uuid.New()
	g.Do(t.Context(), messages.Operation{ID: id.String() + "-1", Kind: messages.OperationAuthorize, PaymentID: id})
}

// start runs a reporter on two gateways until the test ends, or until the returned function is
// called.
func start(t *testing.T, nc *nats.Conn, name string, heartbeat time.Duration) (i instance, stop func()) {
	t.Helper()
	i.feed = status.NewFeed(time.Now)
	var guards []*gateway.Guard
	for _, gatewayName := range []string{"primary", "backup"} {
		g, err := gateway.NewGuard(gatewayName, down{}, gateway.Settings{
			Retry:   gateway.Retry{TriesMax: 1},
			Breaker: gateway.Breaker{FailureRatio: 1, RequestsMin: 1, OpenFor: 10 * time.Millisecond},
			OnStateChange: func(name string, _, to gateway.State) {
				i.feed.Changed(name, to)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		guards = append(guards, g)
	}
	var err error
	if i.set, err = gateway.NewSet(guards...); err != nil {
		t.Fatal(err)
	}
	r, err := status.NewReporter(nc, i.set, i.feed, status.Config{
		Instance: name, Version: "v1.2.3", Heartbeat: heartbeat, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("reporter %s: %v", name, err)
		}
	}
	t.Cleanup(stop)
	return i, stop
}

// within bounds a request of the test. Only a defect reaches the limit.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func listen(t *testing.T, nc *nats.Conn) *status.Listener {
	t.Helper()
	l, err := status.Listen(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// next returns the first report from now on that fits.
func next(t *testing.T, l *status.Listener, fits func(status.Report) bool) status.Report {
	t.Helper()
	for ctx := within(t); ; {
		r, err := l.Next(ctx)
		if err != nil {
			t.Fatalf("no such report: %v", err)
		}
		if fits(r) {
			return r
		}
	}
}

// names are gateway and instance of each report.
func names(reports []status.Report) (all []string) {
	for _, r := range reports {
		all = append(all, r.Gateway+" "+r.Instance)
	}
	return all
}

func TestCollectHearsEveryInstance(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	watcher := bus.Connect(t)
	start(t, bus.Connect(t), "one", time.Hour)
	start(t, bus.Connect(t), "two", time.Hour)
	_, stopThree := start(t, bus.Connect(t), "three", time.Hour)

	want := []string{"backup one", "backup three", "backup two", "primary one", "primary three", "primary two"}
	var reports []status.Report
	servers.Eventually(t, "all three answer", func() bool {
		var err error
		if reports, err = status.Collect(within(t), watcher); err != nil {
			t.Fatal(err)
		}
		return cmp.Equal(want, names(reports))
	})
	for _, r := range reports {
		if r.State != gateway.StateClosed || r.Version != "v1.2.3" || r.At.IsZero() || r.Since.IsZero() || r.ConcurrencyMax == 0 {
			t.Errorf("report is %+v, want one of a closed breaker with everything filled in", r)
		}
	}

	// One that has gone does not answer.
	stopThree()
	reports, err := status.Collect(within(t), watcher)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"backup one", "backup two", "primary one", "primary two"}, names(reports)); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

func TestNobodyAnswering(t *testing.T) {
	t.Parallel()
	nc := servers.NATS(t).Connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if reports, err := status.Collect(ctx, nc); err != nil || len(reports) != 0 {
		t.Errorf("collected %v (%v), want nothing and no error", reports, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := status.Collect(gone, nc); err == nil {
		t.Error("collected nothing without an error, though the caller had given up")
	}
}

func TestEveryChangeIsReported(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	l := listen(t, bus.Connect(t))
	one, _ := start(t, bus.Connect(t), "one", time.Hour)
	primary := func(state gateway.State) func(status.Report) bool {
		return func(r status.Report) bool { return r.Gateway == "primary" && r.State == state }
	}
	began := next(t, l, primary(gateway.StateClosed))
	one.fail(t, "primary")
	opened := next(t, l, primary(gateway.StateOpen))
	if opened.Failures != 1 || opened.Tries != 1 || opened.Since.Before(began.Since) {
		t.Errorf("report is %+v, want one that tells what opened the breaker", opened)
	}
	// The breaker notices that its time is up when it is looked at.
	servers.Eventually(t, "half open", func() bool {
		g, _ := one.set.Get("primary")
		return g.State() == gateway.StateHalfOpen
	})
	next(t, l, primary(gateway.StateHalfOpen))
	one.fail(t, "primary")
	next(t, l, primary(gateway.StateOpen))
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	l := listen(t, bus.Connect(t))
	start(t, bus.Connect(t), "one", 10*time.Millisecond)
	for range 3 {
		next(t, l, func(r status.Report) bool { return r.Gateway == "primary" })
		next(t, l, func(r status.Report) bool { return r.Gateway == "backup" })
	}
}

func TestReportsGoOnAfterNATSWasAway(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	reconnect := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(10 * time.Millisecond)}
	start(t, bus.Connect(t, reconnect...), "one", time.Hour)
	watcher := bus.Connect(t, reconnect...)
	bus.Restart(t)
	servers.Eventually(t, "the instance answers again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reports, err := status.Collect(ctx, watcher)
		return err == nil && len(reports) == 2
	})
}

func TestTheReportOnTheBus(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	nc := bus.Connect(t)
	sub, err := nc.SubscribeSync("payments.ops.gateway.primary.one")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	start(t, bus.Connect(t), "one", time.Hour)
	msg, err := sub.NextMsgWithContext(within(t))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(msg.Data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gateway", "instance", "state", "since", "tries", "failures", "in_flight", "concurrency_max", "version", "at"} {
		if _, found := fields[name]; !found {
			t.Errorf("the report lacks %s: %s", name, msg.Data)
		}
	}
}

func TestWhatIsNoReportIsPassedOver(t *testing.T) {
	t.Parallel()
	bus := servers.NATS(t)
	l := listen(t, bus.Connect(t))
	nc := bus.Connect(t)
	good := `{"gateway":"primary","instance":"one","state":"closed"}`
	for _, m := range []struct{ subject, body string }{
		{"payments.ops.gateway.primary.one", "rubbish"},
		{"payments.ops.gateway.primary.one", `{"gateway":"backup","instance":"one","state":"open"}`},
		{"payments.ops.gateway.primary.two", good},
		{"payments.ops.gateway.primary.one", good},
	} {
		if err := nc.Publish(m.subject, []byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := l.Next(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.Gateway != "primary" || r.Instance != "one" || r.State != gateway.StateClosed {
		t.Errorf("heard %+v, want the one proper report", r)
	}
}

func TestBoardForgetsWhoHasGone(t *testing.T) {
	t.Parallel()
	var b status.Board
	report := func(gatewayName, instance string, state gateway.State) status.Report {
		return status.Report{Status: gateway.Status{Gateway: gatewayName, State: state}, Instance: instance}
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b.Put(report("primary", "two", gateway.StateClosed), at)
	b.Put(report("primary", "one", gateway.StateClosed), at)
	b.Put(report("backup", "two", gateway.StateClosed), at)
	b.Put(report("primary", "one", gateway.StateOpen), at.Add(10*time.Second))
	if diff := cmp.Diff([]string{"backup two", "primary one", "primary two"}, names(b.Reports(at.Add(15*time.Second)))); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	left := b.Reports(at.Add(16 * time.Second))
	if diff := cmp.Diff([]string{"primary one"}, names(left)); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	if left[0].State != gateway.StateOpen {
		t.Errorf("the state is %s, want the latest", left[0].State)
	}
}

func TestInstanceNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"tender-7d9f-42": "tender-7d9f-42", "host.example.com": "host-example-com", "a b>*": "a-b--", "Zoë": "Zo-",
	} {
		if got := status.InstanceName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
	set, err := gateway.NewSet()
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]status.Config{
		"no instance":            {Now: time.Now},
		"an instance with a dot": {Instance: "a.b", Now: time.Now},
		"no clock":               {Instance: "a"},
	} {
		if _, err := status.NewReporter(nil, set, status.NewFeed(time.Now), cfg); err == nil {
			t.Errorf("a reporter with %s is taken", name)
		}
	}
}

func TestAFullFeedDoesNotWait(t *testing.T) {
	t.Parallel()
	feed := status.NewFeed(time.Now)
	for range 10_000 {
		feed.Changed("primary", gateway.StateOpen)
	}
}
