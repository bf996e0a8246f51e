package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/checkpoint"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/scheduler"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// Process holds everything that the roles of one process share. [Open] makes it; [Process.Run] runs
// it once and closes it.
type Process struct {
	cfg      config.Config
	log      *zap.Logger
	nc       *nats.Conn
	ncClosed chan struct{}
	js       jetstream.JetStream
	pool     *pgxpool.Pool
	store    *store.Store
	relay    *outbox.Relay // nil without the role
	unparker *scheduler.Unparker
	gateways *gateways
	// webhooks listens for the role webhook; nil stands for the configured address.
	webhooks net.Listener
	// now is the clock of the worker and the scheduler.
	now func() time.Time
}

// Options are those of [Open]. With the zero value Open fails at once if something is missing.
type Options struct {
	// Wait keeps trying, with growing pauses, until NATS and PostgreSQL answer and are prepared.
	Wait bool
	// WrapGateway may return a gateway that stands between the given one and its guard; nil wraps
	// nothing.
	WrapGateway func(name string, g gateway.Gateway) gateway.Gateway
	// Webhooks is an open listener for the role webhook, which the run closes; nil listens on the
	// configured address.
	Webhooks net.Listener
	// Now is the clock of the worker and the scheduler; nil is the machine's.
	Now func() time.Time
}

// Open connects to NATS and PostgreSQL and checks that the streams and the schema are there. It
// fails with a [term.UnavailableError] that names the service and its address, with a
// [term.NotReady] error, or when ctx ends.
func Open(ctx context.Context, cfg config.Config, log *zap.Logger, o Options) (*Process, error) {
	TuneGC()
	p := &Process{cfg: cfg, log: log, ncClosed: make(chan struct{}), webhooks: o.Webhooks, now: o.Now}
	if p.now == nil {
		p.now = time.Now
	}
	attempt := once
	if o.Wait {
		attempt = p.persist
	}
	// Both at once, so that the error names both if both are missing.
	var natsErr, postgresErr error
	var opening sync.WaitGroup
	opening.Go(func() { natsErr = attempt(ctx, term.ServiceNATS, p.openNATS) })
	opening.Go(func() { postgresErr = attempt(ctx, term.ServicePostgres, p.openPostgres) })
	opening.Wait()
	if err := errors.Join(natsErr, postgresErr); err != nil {
		p.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	if err := p.openStore(); err != nil {
		p.Close()
		return nil, err
	}
	var err error
	p.unparker = scheduler.NewUnparker(p.store, scheduler.UnparkerConfig{}, log.Named("unparker"), p.now)
	if p.gateways, err = openGateways(cfg, p.nc, log, p.unparker.Answers, o.WrapGateway); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Process) openNATS(ctx context.Context) error {
	if p.nc == nil {
		options := append(logConnection(p.log, p.cfg.NATS.URL),
			nats.ClosedHandler(func(*nats.Conn) { close(p.ncClosed) }), nats.DrainTimeout(connectionDrainTimeout))
		nc, err := DialNATS(p.cfg.NATS, options...)
		if err != nil {
			return err
		}
		js, err := bus.JetStream(nc, 0)
		if err != nil {
			nc.Close()
			return fmt.Errorf("use JetStream: %w", err)
		}
		p.nc, p.js = nc, js
	}
	if err := checkProvisioned(ctx, p.js); err != nil {
		return term.NotReady(term.ServiceNATS, p.cfg.NATS.URL, err)
	}
	return nil
}

func (p *Process) openPostgres(ctx context.Context) error {
	if p.pool == nil {
		pool, err := DialPool(ctx, p.cfg.Postgres, p.cfg.NATS.Name)
		if err != nil {
			return err
		}
		p.pool = pool
	}
	if err := store.CheckSchema(ctx, p.pool); err != nil {
		return term.NotReady(term.ServicePostgres, p.cfg.Postgres.URL, err)
	}
	return nil
}

// Run plays the configured roles until ctx ends, drains, and closes everything. It drains in the
// order in which a command travels: the workers begin nothing new and finish what they began, then
// the relay publishes the events of that, then the connections close. Run returns nil after a
// drain, and the error of a role that failed.
func (p *Process) Run(ctx context.Context) error {
	defer p.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	// The relay and the scheduler outlive the workers, to publish the events of the last commands.
	after, stopAfter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAfter()
	reporter, err := p.reporter()
	if err != nil {
		return err
	}
	var handler *worker.Worker // nil without the role
	if p.plays(config.RoleWorker) {
		if handler, err = worker.New(p.parts(), workerConfig(p.cfg)); err != nil {
			return err
		}
	}

	var first, second sync.WaitGroup
	start := func(group *sync.WaitGroup, ctx context.Context, role config.Role, run func(context.Context) error) {
		group.Go(func() {
			if err := run(ctx); err != nil {
				fail(fmt.Errorf("%s: %w", role, err))
			}
		})
	}
	if p.plays(config.RoleRelay) {
		start(&second, after, config.RoleRelay, p.relay.Run)
	}
	if p.plays(config.RoleScheduler) {
		scheduler := scheduler.New(p.store, bus.NewBacklog(p.js), schedulerConfig(p.cfg), p.log.Named("scheduler"), p.now)
		start(&second, after, config.RoleScheduler, scheduler.Run)
		if every := p.cfg.Checkpoint.Interval; every > 0 {
			taker := checkpoint.NewTaker(p.pool, every, p.log.Named("checkpoint"), time.Now)
			start(&second, after, config.RoleScheduler, taker.Run)
		}
	}
	if p.plays(config.RoleWebhook) {
		start(&first, ctx, config.RoleWebhook, p.serveWebhooks)
	}
	if p.plays(config.RoleWorker) {
		first.Go(func() { p.gateways.router.Watch(ctx, p.js) })
		p.awaitRouting(ctx)
		watcher := deadletter.NewWatcher(p.js, deadletter.WatcherConfig{}, p.log.Named("watcher"))
		watcher.LookFirst(ctx)
		start(&first, ctx, config.RoleWorker, watcher.Run)
		start(&first, ctx, config.RoleWorker, p.unparker.Run)
		start(&first, ctx, config.RoleWorker, handler.Run)
		start(&first, ctx, config.RoleWorker, deadletter.NewCollector(p.js, p.log.Named("collector")).Run)
		start(&second, after, config.RoleWorker, reporter.Run)
	}
	p.log.Info("ready", zap.Any("roles", p.cfg.Roles), zap.Stringer("nats", p.cfg.NATS.URL), zap.Stringer("postgres", p.cfg.Postgres.URL))

	<-ctx.Done()
	p.log.Info("draining: finishing what was begun", zap.Duration("drain_timeout", p.cfg.Shutdown.DrainTimeout))
	first.Wait()
	stopAfter()
	second.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	p.log.Info("drained")
	return nil
}

// parts gives the worker the database's clock over the machine's monotonic one, which no wrong wall
// clock touches, and p.now as its wall clock.
func (p *Process) parts() worker.Parts {
	return worker.Parts{
		JetStream: p.js, Store: p.store, Gateways: p.gateways.set, Router: p.gateways.router,
		Log: p.log.Named("worker"), Clock: store.NewClock(p.pool, time.Now), Now: p.now,
	}
}

// awaitRouting waits until the router has looked for rules that an operator set over the configured
// ones, so that the first payments do not go to a gateway that the operator has closed. The wait is
// bounded: a payment is safe under any rules.
func (p *Process) awaitRouting(ctx context.Context) {
	limit := time.NewTimer(routingLookMax)
	defer limit.Stop()
	select {
	case <-p.gateways.router.Looked():
	case <-ctx.Done():
	case <-limit.C:
		p.log.Warn("starting with the configured routing rules; the bucket of rules does not answer yet",
			zap.Duration("waited", routingLookMax))
	}
}

func (p *Process) plays(role config.Role) bool { return slices.Contains(p.cfg.Roles, role) }

// routingLookMax bounds the wait of a worker for the first look at the bucket of routing rules.
const routingLookMax = 10 * time.Second

// connectionDrainTimeout bounds the time in which the client flushes its buffer to NATS.
const connectionDrainTimeout = 5 * time.Second

// Close releases a process that is not run. It flushes the connection to NATS first, and closes the
// pool, which everything else uses, last.
func (p *Process) Close() {
	if p.nc != nil {
		// Drain fails on a connection that is down.
		if err := p.nc.Drain(); err != nil {
			p.nc.Close()
		}
		<-p.ncClosed
	}
	if p.store != nil {
		p.store.Close()
	}
	if p.gateways != nil {
		p.gateways.close()
	}
	if p.pool != nil {
		p.pool.Close()
	}
}

// openStore makes the store and, if this process plays it, the relay, to which the store offers its
// commits.
func (p *Process) openStore() error {
	cfg := StoreConfig(p.cfg)
	if p.plays(config.RoleRelay) {
		relay, err := outbox.NewRelay(p.pool, p.js, relayConfig(p.cfg), p.log.Named("relay"))
		if err != nil {
			return fmt.Errorf("make the relay: %w", err)
		}
		p.relay, cfg.Committed = relay, relay.Offer
	}
	p.store = store.New(p.pool, cfg, p.log.Named("store"))
	return nil
}

// StoreConfig translates the settings of the store.
func StoreConfig(cfg config.Config) store.Config {
	return store.Config{Committers: cfg.Store.Committers, BatchMax: cfg.Store.BatchMax}
}

func relayConfig(cfg config.Config) outbox.RelayConfig {
	return outbox.RelayConfig{
		BatchMax: cfg.Outbox.BatchMax, PollInterval: cfg.Outbox.PollInterval, DrainTimeout: cfg.Shutdown.DrainTimeout,
	}
}

func schedulerConfig(cfg config.Config) scheduler.Config {
	return scheduler.Config{
		PollInterval: cfg.Scheduler.PollInterval, BatchMax: cfg.Scheduler.BatchMax, Lease: cfg.Scheduler.Lease,
		SweepAge: sentStale(cfg),
	}
}

func workerConfig(cfg config.Config) worker.Config {
	return worker.Config{
		SlotsMax: cfg.Worker.SlotsMax, AckWait: cfg.Worker.AckWait, DeliveriesMax: cfg.Worker.DeliveriesMax,
		Patience: cfg.Worker.Patience, HandleTimeout: cfg.Worker.HandleTimeout, DrainTimeout: cfg.Shutdown.DrainTimeout,
		Policy: policy(cfg),
	}
}

// policy is the default policy with the settings that the configuration has.
func policy(cfg config.Config) payment.Policy {
	p, r := payment.DefaultPolicy(), cfg.Retry
	p.UnknownReplays, p.UnknownLookups = r.UnknownReplays, r.UnknownLookups
	p.NotSentInitial, p.NotSentMax, p.NotSentGiveUp = r.NotSentInitial, r.NotSentMax, r.NotSentGiveUp
	p.PendingCheck, p.PendingMaxOther = r.PendingCheck, r.PendingMax
	p.PendingMax = map[messages.OperationKind]time.Duration{messages.OperationRefund: r.PendingMaxRefund}
	p.AuthorizationExpiry, p.ActionExpiry = r.AuthExpiry, r.ActionExpiry
	p.ExpiryWarning, p.SoftRetries = r.ExpiryWarning, r.SoftRetries
	p.SentStale = sentStale(cfg)
	return p
}

// sentStale is the age from which a call without an answer counts as abandoned: well beyond the
// longest work on one delivery.
func sentStale(cfg config.Config) time.Duration { return 5 * cfg.Worker.HandleTimeout }

// once makes one attempt.
func once(ctx context.Context, _ string, attempt func(context.Context) error) error {
	return attempt(ctx)
}

// persist makes attempts until one succeeds or ctx ends, and logs each time which service is
// missing.
func (p *Process) persist(ctx context.Context, service string, attempt func(context.Context) error) error {
	pause := retry.BackOff(250*time.Millisecond, 10*time.Second)
	waited := false
	err := backoff.RetryNotify(func() error {
		err := attempt(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return backoff.Permanent(context.Cause(ctx))
		case term.CodeOf(err) == term.ExitUsage: // waiting does not correct a configuration
			return backoff.Permanent(err)
		default:
			return err
		}
	}, backoff.WithContext(pause, ctx), func(err error, next time.Duration) {
		waited = true
		p.log.Warn("waiting for "+service, zap.Duration("again_in", next.Round(time.Millisecond)), zap.Error(err))
	})
	if err == nil && waited {
		p.log.Info(service + " is ready")
	}
	return err
}

// gcPercent is the value of GOGC. The live heap of a worker is small, a few megabytes beside the
// commands in progress, and most of its garbage dies with its batch: at Go's own 100 a worker would
// spend a quarter of its CPU time on collecting.
const gcPercent = 400

// TuneGC sets the garbage collector to suit a worker, unless GOGC is set.
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
