package chaos_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/scheduler"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// system is a whole Tender on real parts, with two simulators as gateways, under the workload of
// one test.
type system struct {
	testing.TB
	pool     *pgxpool.Pool
	store    *store.Store
	bus      *servers.NATSServer
	js       jetstream.JetStream
	sims     map[string]*sim.Simulator
	streams  bus.StreamOptions
	config   chaos.WorkloadConfig
	path     string
	record   *chaos.Record
	workload *chaos.Workload
	// halt ends the worker, the relay and the scheduler.
	halt func()
	// unfollow ends the client's view of the events.
	unfollow func()
}

func setup(t *testing.T, payments int) *system {
	t.Helper()
	s := &system{TB: t, sims: map[string]*sim.Simulator{}}
	s.streams = bus.StreamOptions{AckWait: 2 * time.Second, DuplicatesWindow: 200 * time.Millisecond}
	s.openStore()
	s.openBus()
	s.startTender()
	s.config = chaos.WorkloadConfig{Seed: 7, Payments: payments, AckWait: 500 * time.Millisecond, Now: time.Now}
	s.path = filepath.Join(t.TempDir(), "record.jsonl")
	run, err := s.config.Run()
	s.must(err)
	s.record, err = chaos.CreateRecord(s.path, run)
	s.must(err)
	s.workload, err = chaos.NewWorkload([]jetstream.JetStream{s.js, s.connect()}, s.record, s.config)
	s.must(err)
	s.unfollow = s.run("follow", func(ctx context.Context) error {
		return chaos.Follow(ctx, s.js, s.record, run.Tenants, time.Now)
	})
	return s
}

func (s *system) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *system) openStore() {
	pool, err := pgxpool.New(s.Context(), storetest.Database(s))
	s.must(err)
	s.Cleanup(pool.Close)
	s.pool, s.store = pool, store.New(pool, store.Config{}, zap.NewNop())
	s.Cleanup(s.store.Close)
}

func (s *system) openBus() {
	s.bus = servers.NATS(s)
	s.js = s.connect()
	_, err := bus.Provision(s.Context(), s.js, s.streams, bus.ProvisionOptions{})
	s.must(err)
}

func (s *system) connect() jetstream.JetStream {
	js, err := bus.JetStream(s.bus.Connect(s, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond)), 0)
	s.must(err)
	return js
}

func (s *system) startTender() {
	gateways := s.gateways()
	worker, err := worker.New(worker.Parts{
		JetStream: s.js, Store: s.store, Gateways: gateways, Router: both{}, Log: zap.NewNop(), Clock: store.NewClock(s.pool, time.Now), Now: time.Now,
	}, worker.Config{SlotsMax: 128, Patience: time.Second, Policy: quickPolicy(), AckWait: s.streams.AckWait})
	s.must(err)
	scheduler := scheduler.New(s.store, bus.NewBacklog(s.js), scheduler.Config{
		PollInterval: 20 * time.Millisecond, Lease: 2 * time.Second, SweepInterval: 100 * time.Millisecond, SweepAge: 3 * time.Second,
	}, zap.NewNop(), time.Now)
	relay, err := outbox.NewRelay(s.pool, s.js, outbox.RelayConfig{PollInterval: 20 * time.Millisecond, DrainTimeout: time.Second}, zap.NewNop())
	s.must(err)
	parts := []func(){s.run("worker", worker.Run), s.run("scheduler", scheduler.Run), s.run("relay", relay.Run)}
	s.halt = func() {
		for _, stop := range parts {
			stop()
		}
	}
}

// both sends every payment to one of two gateways first, and to the other where that is safe.
type both struct{}

func (both) Route(f routing.Facts) payment.Route {
	r := payment.Route{Gateway: "primary", Rule: "test", Fallbacks: []string{"second"}, FailoverOnDecline: true}
	if f.PaymentID[15]%2 == 0 {
		r.Gateway, r.Fallbacks = "second", []string{"primary"}
	}
	return r
}

func (s *system) gateways() *gateway.Set {
	var guards []*gateway.Guard
	const timeout = 300 * time.Millisecond
	for _, name := range []string{"primary", "second"} {
		simulator, err := sim.New(sim.Config{Hang: time.Second})
		s.must(err)
		s.Cleanup(func() { _ = simulator.Close() })
		s.sims[name] = simulator
		guard, err := gateway.NewGuard(name, simulator, gateway.Settings{
			Timeouts: gateway.Timeouts{Authorize: timeout, Capture: timeout, Void: timeout, Refund: timeout, Lookup: timeout},
			Breaker:  gateway.Breaker{RequestsMin: 100_000},
			Retry:    gateway.Retry{TriesMax: 2, Initial: time.Millisecond, Max: 5 * time.Millisecond, Total: 100 * time.Millisecond},
		})
		s.must(err)
		guards = append(guards, guard)
	}
	set, err := gateway.NewSet(guards...)
	s.must(err)
	return set
}

// quickPolicy climbs the whole ladder within seconds, and falls off it for nothing that the
// simulators do.
func quickPolicy() payment.Policy {
	p := payment.DefaultPolicy()
	p.UnknownReplays = []time.Duration{
		50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
		1600 * time.Millisecond,
	}
	p.UnknownLookups = []time.Duration{3 * time.Second, 5 * time.Second}
	p.NotSentInitial, p.NotSentMax = 50*time.Millisecond, time.Second
	p.PendingCheck = 20 * time.Millisecond
	p.SentStale = 3 * time.Second
	p.SoftRetries = []time.Duration{100 * time.Millisecond}
	return p
}

// run runs a part until the test ends, or until the returned function is called; both wait for its
// end.
func (s *system) run(name string, part func(context.Context) error) (stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil {
			s.Errorf("%s: %v", name, err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.Cleanup(stop)
	return stop
}

func (s *system) ledgers(context.Context) (map[string]audit.Ledger, error) {
	books := map[string]audit.Ledger{}
	for name, core := range s.sims {
		books[name] = simulator.AuditLedger(core.Snapshot())
	}
	return books, nil
}

func (s *system) await() *chaos.Drain {
	s.Helper()
	drain, err := chaos.Await(s.Context(), s.pool, s.js, chaos.AwaitConfig{Now: time.Now})
	s.must(err)
	return &drain
}

// recorded ends the record and reads it back.
func (s *system) recorded() *chaos.Recorded {
	s.Helper()
	s.unfollow()
	s.must(s.record.Close())
	recorded, err := chaos.OpenRecord(s.path)
	s.must(err)
	return recorded
}

func (s *system) check(sources chaos.Sources) chaos.Verdict {
	s.Helper()
	sources.Pool, sources.JetStream = s.pool, s.js
	verdict, err := chaos.Check(s.Context(), sources, chaos.CheckConfig{LedgersWithin: time.Millisecond})
	s.must(err)
	return verdict
}

func (s *system) exec(sql string, arguments ...any) {
	s.Helper()
	_, err := s.pool.Exec(s.Context(), sql, arguments...)
	s.must(err)
}
