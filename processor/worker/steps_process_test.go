package worker_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/scheduler"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// stepwise is a system whose worker, relay and scheduler each have connections of their own, as
// processes have, and can be caught at a step.
type stepwise struct {
	*system
	gatewayURL string
	lease      time.Duration
	// answerWait is how long a worker waits for the gateway.
	answerWait time.Duration

	poolMax  int32
	batching store.Config
	// scheduling is the process with the scheduler.
	scheduling *process

	mu        sync.Mutex
	processes []*process
}

func setupSteps(t *testing.T) *stepwise {
	t.Helper()
	s := &stepwise{system: newSystem(t, func(s *system) {
		s.cfg.SlotsMax, s.cfg.DrainTimeout = 1, 10*time.Millisecond
		s.streams.AckWait = 300 * time.Millisecond
		// Redelivery and timers are what takes a command up here. The sweep would overtake what is
		// held up on purpose, on a busy machine.
		s.cfg.Policy.SentStale = time.Minute
	}), lease: 500 * time.Millisecond, answerWait: time.Second, poolMax: 3, batching: store.Config{Committers: 1, Loaders: 1}}
	s.openStore()
	s.openBus()
	s.openSimulator()
	server := httptest.NewServer(s.sim.Handler(""))
	t.Cleanup(func() {
		_ = s.sim.Close()
		server.Close()
	})
	s.gatewayURL = server.URL
	return s
}

// process is what one process is to the rest: its connections. Its traps are set before it starts.
type process struct {
	s             *stepwise
	pg, bus, http *faulty.Dialer
	ctx           context.Context //nolint:containedctx // the life of what it runs
	cancel        context.CancelFunc
	running       sync.WaitGroup
	clock         func() time.Time
}

func (s *stepwise) process() *process {
	p := &process{s: s, pg: faulty.NewDialer(), bus: faulty.NewDialer(), http: faulty.NewDialer(), clock: s.now}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(s.t.Context()))
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	s.t.Cleanup(func() {
		p.kill()
		p.running.Wait()
		for _, d := range p.dialers() {
			d.Close()
		}
	})
	return p
}

// killSince ends what was started after the first so many.
func (s *stepwise) killSince(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes[n:] {
		p.kill()
	}
}

func (p *process) dialers() []*faulty.Dialer { return []*faulty.Dialer{p.pg, p.bus, p.http} }

// kill ends the process as SIGKILL would: everything that it is connected to sees it gone, and
// nothing of it is heard again.
func (p *process) kill() {
	for _, d := range p.dialers() {
		d.Refuse(true)
	}
	p.cancel()
}

// freeze stops the process where it is, for the others to go on without it.
func (p *process) freeze(on bool) {
	for _, d := range p.dialers() {
		d.Stall(on)
	}
}

// run runs a part of the process with connections that end after it.
func (p *process) run(part func(context.Context) error, ends ...func()) {
	p.running.Go(func() {
		if err := part(p.ctx); err != nil {
			p.s.t.Errorf("a process ended: %v", err)
		}
		for _, end := range ends {
			end()
		}
	})
}

func (p *process) pool() *pgxpool.Pool {
	p.s.t.Helper()
	config, err := pgxpool.ParseConfig(p.s.pool.Config().ConnString())
	if err != nil {
		p.s.t.Fatal(err)
	}
	config.ConnConfig.DialFunc = p.pg.DialContext
	config.MaxConns = p.s.poolMax
	pool, err := pgxpool.NewWithConfig(p.s.t.Context(), config)
	if err != nil {
		p.s.t.Fatal(err)
	}
	return pool
}

func (p *process) jetStream() jetstream.JetStream {
	p.s.t.Helper()
	conn, err := nats.Connect(p.s.bus.URL(), nats.SetCustomDialer(p.bus), nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.RetryOnFailedConnect(true))
	if err != nil {
		p.s.t.Fatal(err)
	}
	js, err := bus.JetStream(conn, 0)
	if err != nil {
		p.s.t.Fatal(err)
	}
	return js
}

func (p *process) worker() *process {
	p.s.t.Helper()
	g, err := httpgw.New(httpgw.Config{URL: p.s.gatewayURL, Dial: p.http.DialContext})
	if err != nil {
		p.s.t.Fatal(err)
	}
	guard, err := gateway.NewGuard("primary", g, gateway.Settings{
		Timeouts: gateway.Timeouts{
			Authorize: p.s.answerWait, Capture: p.s.answerWait, Void: p.s.answerWait, Refund: p.s.answerWait, Lookup: p.s.answerWait,
		},
		Breaker: gateway.Breaker{RequestsMin: 1000}, Retry: gateway.Retry{TriesMax: 1},
	})
	if err != nil {
		p.s.t.Fatal(err)
	}
	gateways, err := gateway.NewSet(guard)
	if err != nil {
		p.s.t.Fatal(err)
	}
	pool, js := p.pool(), p.jetStream()
	st := store.New(pool, p.s.batching, p.s.log)
	w, err := worker.New(worker.Parts{
		JetStream: js, Store: st, Gateways: gateways, Router: routing.To("primary"), Log: p.s.log, Clock: clockOf(p.clock), Now: p.clock,
	}, p.s.cfg)
	if err != nil {
		p.s.t.Fatal(err)
	}
	p.run(w.Run, js.Conn().Close, st.Close, pool.Close, g.Close)
	return p
}

func (p *process) relay() *process {
	p.s.t.Helper()
	pool, js := p.pool(), p.jetStream()
	r, err := outbox.NewRelay(pool, js, outbox.RelayConfig{
		PollInterval: 50 * time.Millisecond, LockRetryInterval: 50 * time.Millisecond, PublishTimeout: time.Second,
		DrainTimeout: 10 * time.Millisecond,
	}, p.s.log)
	if err != nil {
		p.s.t.Fatal(err)
	}
	p.run(r.Run, js.Conn().Close, pool.Close)
	return p
}

func (p *process) scheduler() *process {
	p.s.t.Helper()
	pool, js := p.pool(), p.jetStream()
	st := store.New(pool, p.s.batching, p.s.log)
	scheduler := scheduler.New(st, bus.NewBacklog(js), scheduler.Config{
		PollInterval: 50 * time.Millisecond, Lease: p.s.lease, SweepInterval: 100 * time.Millisecond, SweepAge: p.s.cfg.Policy.SentStale,
	}, p.s.log, p.clock)
	p.run(scheduler.Run, js.Conn().Close, st.Close, pool.Close)
	return p
}

// lookEvery is how often the state of a system is looked at: many are under way at once, and
// looking is not free.
const lookEvery = 20 * time.Millisecond

// eventually is servers.Eventually for what costs something to look at.
func (s *stepwise) eventually(what string, cond func() bool) {
	s.t.Helper()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	servers.Eventually(s.t, what, func() bool {
		if cond() {
			return true
		}
		<-look.C
		return false
	})
}

// until polls on a goroutine that is not the test's, for so long that the test has failed before.
func until(cond func() bool) {
	limit := time.Now().Add(2 * time.Minute)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !cond() && time.Now().Before(limit) {
		<-look.C
	}
}

// isSettled reports whether every command in the stream has been settled.
func (s *stepwise) isSettled() bool {
	ctx := context.WithoutCancel(s.t.Context())
	stream, err := s.js.Stream(ctx, "PAYMENTS_CMD")
	if err != nil {
		return false
	}
	consumer, err := s.js.Consumer(ctx, "PAYMENTS_CMD", "workers")
	return err == nil && consumer.CachedInfo().AckFloor.Stream >= stream.CachedInfo().State.LastSeq
}

// isBlocked reports whether a session waits for a lock that a transaction holds.
func (s *stepwise) isBlocked() (blocked bool) {
	err := s.pool.QueryRow(context.WithoutCancel(s.t.Context()), `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&blocked)
	return err == nil && blocked
}

// sprung waits for a trap.
func (p *passage) sprung(a *faulty.Armed) {
	p.s.t.Helper()
	servers.Eventually(p.s.t, "the fault happens to "+p.name, func() bool {
		select {
		case <-a.Fired():
			return true
		default:
			return false
		}
	})
}

// totals are those of one payment.
func (s *stepwise) totals(id [16]byte) sim.PaymentTotals {
	totals, _ := s.sim.Snapshot().Payment(id)
	return totals
}
