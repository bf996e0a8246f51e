package worker_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"sync/atomic"
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
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/scheduler"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// system is a whole Tender on real parts, but for the processes: a database, a bus, a simulator, a
// relay and a scheduler.
type system struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *store.Store
	bus   *servers.NATSServer
	nc    *nats.Conn
	// js is the test's own, partsJS that of the system's parts.
	js, partsJS jetstream.JetStream
	client      *client.Client
	sim         *simulator.Simulator
	// gateway is what workers call; the simulator unless a test puts something else there before it
	// starts workers.
	gateway gateway.Gateway
	cfg     worker.Config
	streams bus.StreamOptions
	// busDir is the folder of the bus; empty is one of its own.
	busDir string
	// stopRelay stops the relay that setup started.
	stopRelay func()
	offerTo   atomic.Pointer[outbox.Relay]
	log       *zap.Logger
	logs      *observer.ObservedLogs
	now       func() time.Time
}

// setup makes everything but the workers, which tests start with the configuration they want.
func setup(t *testing.T, options ...func(*system)) *system {
	t.Helper()
	s := newSystem(t, options...)
	s.openStore()
	s.openBus()
	s.openSimulator()
	s.stopRelay = s.run("relay", s.relay().Run)
	s.run("scheduler", scheduler.New(s.store, bus.NewBacklog(s.js), scheduler.Config{
		PollInterval: 20 * time.Millisecond, Lease: 2 * time.Second,
		SweepInterval: 100 * time.Millisecond, SweepAge: s.cfg.Policy.SentStale,
	}, s.log, s.now).Run)
	return s
}

// newSystem has its configuration and nothing running.
func newSystem(t *testing.T, options ...func(*system)) *system {
	core, logs := observer.New(zap.DebugLevel)
	s := &system{t: t, log: zap.New(core), logs: logs, now: time.Now}
	s.cfg = worker.Config{SlotsMax: 64, Patience: 5 * time.Second, Policy: quickPolicy()}
	s.streams = bus.StreamOptions{AckWait: 2 * time.Second}
	for _, o := range options {
		o(s)
	}
	s.cfg.AckWait = s.streams.AckWait
	return s
}

// quickPolicy climbs the whole ladder in about two seconds.
func quickPolicy() payment.Policy {
	p := payment.DefaultPolicy()
	p.UnknownReplays = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond}
	p.UnknownLookups = []time.Duration{500 * time.Millisecond, 2 * time.Second}
	p.NotSentInitial, p.NotSentMax = 50*time.Millisecond, time.Second
	p.PendingCheck = 20 * time.Millisecond
	p.SentStale = 3 * time.Second
	return p
}

func (s *system) openStore() {
	s.t.Helper()
	url := storetest.Database(s.t)
	pool, err := pgxpool.New(s.t.Context(), url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(pool.Close)
	s.pool, s.store = pool, store.New(pool, store.Config{Committed: s.offer}, s.log)
	s.t.Cleanup(s.store.Close)
}

func (s *system) openBus() {
	s.t.Helper()
	s.bus = servers.NATS(s.t, func(o *servers.NATSOptions) {
		if s.busDir != "" {
			o.Dir = s.busDir
		}
	})
	s.nc = s.bus.Connect(s.t, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	s.js = servers.JetStream(s.t, s.nc)
	var err error
	if s.partsJS, err = bus.JetStream(s.nc, 0); err != nil {
		s.t.Fatal(err)
	}
	if _, err := bus.Provision(s.t.Context(), s.js, s.streams, bus.ProvisionOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.client, err = client.New(s.nc, client.Config{Tenant: "acme"})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) openSimulator() {
	s.t.Helper()
	served, err := simulator.New(simulator.Config{Config: sim.Config{Hang: 2 * time.Second}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = served.Close() })
	s.sim = served
	if s.gateway == nil {
		s.gateway = served
	}
}

// offer gives the relay what the store commits, as a process does that plays both roles.
func (s *system) offer(appended *outbox.Appended) {
	if relay := s.offerTo.Load(); relay != nil {
		relay.Offer(appended)
	}
}

// relay makes a relay, which is offered what is committed from now on.
func (s *system) relay() *outbox.Relay {
	s.t.Helper()
	r, err := outbox.NewRelay(s.pool, s.partsJS, outbox.RelayConfig{PollInterval: 50 * time.Millisecond, DrainTimeout: time.Second}, s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	s.offerTo.Store(r)
	return r
}

// run runs a part until the test ends, or until the returned function is called; both wait for its
// end.
func (s *system) run(name string, part func(context.Context) error) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.t.Cleanup(stop)
	return stop
}

// worker starts one more worker. Its parts are shared, as those of one process are.
func (s *system) worker(change ...func(*worker.Parts, *worker.Config)) (stop func()) {
	s.t.Helper()
	return s.run("worker", s.newWorker(change...).Run)
}

func (s *system) newWorker(change ...func(*worker.Parts, *worker.Config)) *worker.Worker {
	s.t.Helper()
	guard, err := gateway.NewGuard("primary", s.gateway, gateway.Settings{
		Timeouts: gateway.Timeouts{
			Authorize: 500 * time.Millisecond, Capture: 500 * time.Millisecond, Void: 500 * time.Millisecond,
			Refund: 500 * time.Millisecond, Lookup: 500 * time.Millisecond,
		},
		Breaker: gateway.Breaker{RequestsMin: 1000},
		Retry:   gateway.Retry{TriesMax: 2, Initial: time.Millisecond, Max: 5 * time.Millisecond, Total: 100 * time.Millisecond},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	set, err := gateway.NewSet(guard)
	if err != nil {
		s.t.Fatal(err)
	}
	parts := worker.Parts{JetStream: s.partsJS, Store: s.store, Gateways: set, Router: routing.To("primary"), Log: s.log, Clock: clockOf(s.now), Now: s.now}
	cfg := s.cfg
	for _, c := range change {
		c(&parts, &cfg)
	}
	w, err := worker.New(parts, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// clockOf is a clock that a test winds.
type clockOf func() time.Time

func (c clockOf) Now(context.Context) (time.Time, error) { return c(), nil }

// publish sends a command and returns it as it was sent.
func (s *system) publish(id uuid.UUID, key string, body messages.CommandBody) messages.Command {
	s.t.Helper()
	ack, err := s.client.Publish(s.t.Context(), messages.Command{PaymentID: id, IdempotencyKey: key, Body: body})
	if err != nil {
		s.t.Fatal(err)
	}
	return ack.Command
}

// outcome publishes a command and waits for the event that ends it.
func (s *system) outcome(id uuid.UUID, key string, body messages.CommandBody) messages.Event {
	s.t.Helper()
	return s.await(s.publish(id, key, body))
}

func (s *system) await(cmd messages.Command) messages.Event {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	e, err := s.client.Wait(ctx, cmd)
	if err != nil {
		s.t.Fatalf("%s of %s: %v\n%s", cmd.Name(), cmd.PaymentID, err, s.lastLogs())
	}
	return e
}

func (s *system) lastLogs() (text string) {
	entries := s.logs.All()
	for _, e := range entries[max(0, len(entries)-20):] {
		text += e.Level.String() + " " + e.Message + "\n"
	}
	return text
}

func (s *system) get(id uuid.UUID) *payment.Payment {
	s.t.Helper()
	p, err := s.store.Get(s.t.Context(), "acme", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *system) history(id uuid.UUID) []messages.Event {
	s.t.Helper()
	events, err := s.store.History(s.t.Context(), "acme", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return events
}

func (s *system) expect(e messages.Event, want messages.EventType) messages.Event {
	s.t.Helper()
	if e.Type() != want {
		s.t.Fatalf("got %s (%+v), want %s", e.Type(), e.Data, want)
	}
	return e
}

// passTime lets timers fire as if the database's clock, by which they do, were ahead by d like the
// test's own.
func (s *system) passTime(d time.Duration) {
	s.t.Helper()
	s.run("time", func(ctx context.Context) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			_, err := s.pool.Exec(ctx, `UPDATE timers SET fire_at = fire_at - $1::interval
				WHERE fire_at > now() + $1::interval / 4 AND due_at < now() + 2 * $1::interval`, d)
			if err != nil && ctx.Err() == nil {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// settled waits until every command that is in the stream now has been settled.
func (s *system) settled() {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), messages.StreamCommands)
	if err != nil {
		s.t.Fatal(err)
	}
	// What the consumer says of its backlog may lag behind the stream; its position can't run ahead
	// of it.
	last := stream.CachedInfo().State.LastSeq
	consumer, err := s.js.Consumer(s.t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		s.t.Fatal(err)
	}
	var info *jetstream.ConsumerInfo
	settled := false
	s.t.Cleanup(func() {
		if !settled && info != nil {
			s.t.Logf("of %d commands %d are to be delivered and %d to be settled, from %d on, delivered %d: %s", last,
				info.NumPending, info.NumAckPending, info.AckFloor.Stream+1, info.Delivered.Consumer, s.lastLogs())
		}
	})
	servers.Eventually(s.t, "every command is settled", func() bool {
		info, err = consumer.Info(s.t.Context())
		settled = err == nil && info.AckFloor.Stream >= last
		return settled
	})
}

// verify holds the whole system to its promises.
func (s *system) verify() {
	s.t.Helper()
	servers.Eventually(s.t, "the outbox is empty", func() bool {
		status, err := outbox.Inspect(s.t.Context(), s.pool)
		return err == nil && status.Waiting+status.Parked+status.Behind == 0
	})
	report, err := books.CheckInvariants(s.t.Context(), s.pool, books.CheckOptions{StaleAfter: time.Minute})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range report.Findings {
		s.t.Errorf("%+v", f)
	}
	for _, op := range s.sim.Snapshot().Operations {
		if op.Effects > 1 {
			s.t.Errorf("operation %s had %d effects at the gateway", op.OperationID, op.Effects)
		}
	}
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func amount(n int64) *int64 { return &n }

func create(method string) *messages.Create {
	return &messages.Create{AmountMinor: 10000, Currency: "EUR", PaymentMethod: method}
}

func types(events []messages.Event) (ts []messages.EventType) {
	for _, e := range events {
		ts = append(ts, e.Type())
	}
	return slices.Clip(ts)
}

// panicking is a gateway whose guard panics as well, so that its caller does.
func panicking(t *testing.T) *gateway.Set {
	t.Helper()
	guard, err := gateway.NewGuard("primary", answers{}, gateway.Settings{
		OnPanic: func(_ string, value any, _ []byte) { panic(value) },
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := gateway.NewSet(guard)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
