package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/checkpoint"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/scheduler"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

// process holds everything that the roles of one process share. It is opened, run once, and closed by its run.
type process struct {
	cfg      config.Config
	log      *zap.Logger
	nc       *nats.Conn
	ncClosed chan struct{}
	js       jetstream.JetStream
	pool     *pgxpool.Pool
	store    *store.Store
	relay    *outbox.Relay // nil without the role
	gateways *gateways
	// webhooks is where the role webhook listens; nil is the configured address.
	webhooks net.Listener
	// now is the clock of the worker and the scheduler.
	now func() time.Time
}

// openOptions say how open goes about it. The zero value fails at once if something is missing.
type openOptions struct {
	// wait keeps trying, with growing pauses, until NATS and PostgreSQL are there and prepared.
	wait bool
	// wrapGateway may put something between a gateway and its guard; nil puts nothing.
	wrapGateway func(name string, g gateway.Gateway) gateway.Gateway
	// webhooks is a listener for the role webhook that is there already; nil listens on the configured address. It is closed
	// by the run.
	webhooks net.Listener
	// now is the clock of the worker and the scheduler; nil is the machine's.
	now func() time.Time
}

// open connects to NATS and PostgreSQL and makes sure that the streams and the schema are there. It fails with an
// *unavailableError that names the service and its address, with what is not prepared, or when ctx ends.
func open(ctx context.Context, cfg config.Config, log *zap.Logger, o openOptions) (*process, error) {
	tuneGC()
	p := &process{cfg: cfg, log: log, ncClosed: make(chan struct{}), webhooks: o.webhooks, now: o.now}
	if p.now == nil {
		p.now = time.Now
	}
	attempt := once
	if o.wait {
		attempt = p.persist
	}
	// Side by side, so that both are named if both are missing.
	var natsErr, postgresErr error
	var opening sync.WaitGroup
	opening.Go(func() { natsErr = attempt(ctx, serviceNATS, p.openNATS) })
	opening.Go(func() { postgresErr = attempt(ctx, servicePostgres, p.openPostgres) })
	opening.Wait()
	if err := errors.Join(natsErr, postgresErr); err != nil {
		p.close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	if err := p.openStore(); err != nil {
		p.close()
		return nil, err
	}
	var err error
	//nolint:contextcheck // a gateway lives until it is closed
	if p.gateways, err = openGateways(cfg, p.nc, log, o.wrapGateway); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *process) openNATS(ctx context.Context) error {
	if p.nc == nil {
		options := append(logConnection(p.log, p.cfg.NATS.URL),
			nats.ClosedHandler(func(*nats.Conn) { close(p.ncClosed) }), nats.DrainTimeout(connectionDrainTimeout))
		nc, err := dialNATS(p.cfg.NATS, options...)
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
		return notReady(serviceNATS, p.cfg.NATS.URL, err)
	}
	return nil
}

func (p *process) openPostgres(ctx context.Context) error {
	if p.pool == nil {
		pool, err := dialPool(ctx, p.cfg.Postgres, p.cfg.NATS.Name)
		if err != nil {
			return err
		}
		p.pool = pool
	}
	if err := store.CheckSchema(ctx, p.pool); err != nil {
		return notReady(servicePostgres, p.cfg.Postgres.URL, err)
	}
	return nil
}

// run plays the configured roles until ctx ends, drains, and closes everything. The order is that of the way of a command:
// first nothing new is begun and what was begun is finished, then what that led to is published, then the connections go.
// It returns nil after a drain, and the error of a role that could not go on.
func (p *process) run(ctx context.Context) error {
	defer p.close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	// What the last commands lead to is published after them.
	after, stopAfter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAfter()
	reporter, err := p.reporter()
	if err != nil {
		return err
	}
	handler, err := worker.New(p.parts(), workerConfig(p.cfg))
	if err != nil {
		return err
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
		scheduler := scheduler.New(p.store, schedulerConfig(p.cfg), p.log.Named("scheduler"), p.now)
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

func (p *process) parts() worker.Parts {
	return worker.Parts{
		JetStream: p.js, Store: p.store, Gateways: p.gateways.set, Router: p.gateways.router,
		Log: p.log.Named("worker"), Now: p.now,
	}
}

// awaitRouting waits until it is known whether routing rules have been set over the configured ones, so that the first
// payments do not take a way that somebody has closed. It waits only so long: whatever the rules, a payment is safe.
func (p *process) awaitRouting(ctx context.Context) {
	limit := time.NewTimer(routingLookMax)
	defer limit.Stop()
	select {
	case <-p.gateways.router.Looked():
	case <-ctx.Done():
	case <-limit.C:
		p.log.Warn("beginning with the configured routing rules: whether others have been set is not known yet",
			zap.Duration("waited", routingLookMax))
	}
}

func (p *process) plays(role config.Role) bool { return slices.Contains(p.cfg.Roles, role) }

// routingLookMax bounds how long a worker waits for the routing rules that were set.
const routingLookMax = 10 * time.Second

// connectionDrainTimeout bounds how long what was written to NATS may take to leave.
const connectionDrainTimeout = 5 * time.Second

// close lets go of whatever open had opened: what still goes out over NATS first, the pool, which everything else uses, last.
func (p *process) close() {
	if p.nc != nil {
		// A connection that is down cannot be drained; then it is closed at once.
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

// openStore makes the store and, if it is played here, the relay, which is given what the store commits.
func (p *process) openStore() error {
	cfg := storeConfig(p.cfg)
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

// settings of the parts, translated from the configuration.

func storeConfig(cfg config.Config) store.Config {
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

// policy is the default one where there is no setting for something.
func policy(cfg config.Config) payment.Policy {
	p, r := payment.DefaultPolicy(), cfg.Retry
	p.UnknownReplays, p.UnknownLookups = r.UnknownReplays, r.UnknownLookups
	p.NotSentInitial, p.NotSentMax, p.NotSentGiveUp = r.NotSentInitial, r.NotSentMax, r.NotSentGiveUp
	p.PendingCheck, p.AuthorizationExpiry, p.ActionExpiry = r.PendingCheck, r.AuthExpiry, r.ActionExpiry
	p.ExpiryWarning, p.SoftRetries = r.ExpiryWarning, r.SoftRetries
	p.SentStale = sentStale(cfg)
	return p
}

// sentStale is the age at which a call without an answer has been left by everybody: well beyond the longest work on one
// delivery.
func sentStale(cfg config.Config) time.Duration { return 5 * cfg.Worker.HandleTimeout }
