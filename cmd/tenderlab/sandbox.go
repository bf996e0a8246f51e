package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/webhook"
)

const (
	// sandboxStartTimeout bounds the start of one private server.
	sandboxStartTimeout = time.Minute
	sandboxDatabase     = "tender"
	// What a sandbox keeps in its folder.
	sandboxNATS     = "nats"
	sandboxPostgres = "postgres"
)

// sandbox holds the servers that Tender needs, private to this process: a NATS server with
// JetStream, a PostgreSQL server, and simulators as the gateways, each on a real port of the
// loopback interface. The streams are provisioned and the schema is migrated. config leads to them
// as the role that serves.
type sandbox struct {
	config config.Config
	// simulators are the gateways, in the order of the options.
	simulators []*sandboxSimulator
	// webhooks listens for their webhooks; the first instance serves it.
	webhooks net.Listener
	nats     *servers.NATSServer
	postgres *servers.Postgres
}

// sandboxOptions are the options of openSandbox.
type sandboxOptions struct {
	// dir keeps the data for the next start; "" is a temporary folder.
	dir string
	// nats and webhooks are the ports; PostgreSQL takes a free one.
	nats, webhooks portChoice
	// gateways are the simulators.
	gateways []sandboxGateway
	// tune changes the default configuration before the servers start, and names every gateway; nil
	// changes nothing.
	tune func(*config.Config)
	// step is called for each server that is ready.
	step func(format string, args ...any)
}

// portChoice is a preferred port, or a fixed one. The zero value is any free port.
type portChoice struct {
	number int
	fixed  bool
}

// orFree calls start with the chosen port, and with 0 for a free one if that port is taken and not
// fixed.
func (p portChoice) orFree(start func(port int) error) error {
	err := start(p.number)
	if err == nil || p.fixed || p.number == 0 {
		return err
	}
	return start(0)
}

// openSandbox starts the servers one after the other. ctx bounds the start; close ends them.
func openSandbox(ctx context.Context, o sandboxOptions) (opened *sandbox, err error) {
	s := &sandbox{config: config.Default()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if o.tune != nil {
		o.tune(&s.config)
	}
	for _, start := range []func(context.Context, sandboxOptions) error{
		s.startNATS, s.startPostgres, s.startSimulators, s.provision, s.migrate,
	} {
		if err := start(ctx, o); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, err
		}
	}
	if err := s.config.Validate(); err != nil {
		return nil, fmt.Errorf("configure the sandbox: %w", err)
	}
	return s, nil
}

func (s *sandbox) startNATS(ctx context.Context, o sandboxOptions) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxStartTimeout)
	defer cancel()
	err := o.nats.orFree(func(port int) (err error) {
		// An acknowledged message is on the disk, as in production.
		s.nats, err = servers.StartNATS(ctx, servers.NATSOptions{Dir: o.sub(sandboxNATS), Port: port, SyncAlways: true})
		return err
	})
	if err != nil {
		return err
	}
	s.config.NATS.URL = config.URL(s.nats.URL())
	o.step("NATS with JetStream at %s", s.config.NATS.URL)
	return nil
}

func (s *sandbox) startPostgres(ctx context.Context, o sandboxOptions) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxStartTimeout)
	defer cancel()
	var err error
	s.postgres, err = servers.StartPostgres(ctx, servers.PostgresOptions{Dir: o.sub(sandboxPostgres), Durable: true})
	if err != nil {
		return err
	}
	return s.postgres.CreateDatabase(ctx, sandboxDatabase)
}

// startSimulators starts the gateways, and before them the listener for their webhooks.
func (s *sandbox) startSimulators(ctx context.Context, o sandboxOptions) error {
	err := o.webhooks.orFree(func(port int) (err error) {
		s.webhooks, err = listenLocally(ctx, port)
		return err
	})
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	s.config.Webhook.Listen = s.webhooks.Addr().String()
	for _, g := range o.gateways {
		if err := s.startSimulator(ctx, o, g); err != nil {
			return err
		}
	}
	return nil
}

func (s *sandbox) startSimulator(ctx context.Context, o sandboxOptions, g sandboxGateway) error {
	settings, purpose := s.config.Gateways[g.name], "a payment gateway that moves no money"
	c := simulator.Config{Journal: o.sub(g.ledger())}
	if g.tells {
		c.Webhook = simulator.Webhook{
			URL: "http://" + s.config.Webhook.Listen + webhook.PathPrefix + g.name, Secret: rand.Text(), Lead: g.lead,
		}
		settings.WebhookSecret = config.Secret(c.Webhook.Secret)
		purpose += " and sends webhooks"
	}
	err := g.port.orFree(func(port int) error {
		started, err := startSimulator(ctx, g.name, port, c)
		if err == nil {
			s.simulators = append(s.simulators, started)
			settings.Kind, settings.URL = config.GatewayHTTP, config.URL(started.url)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.config.Gateways[g.name] = settings
	o.step("the gateway %s, %s, at %s", g.name, purpose, settings.URL)
	return nil
}

func (s *sandbox) provision(ctx context.Context, o sandboxOptions) error {
	nc, err := app.DialNATS(s.config.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := bus.JetStream(nc, 0)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	changes, err := app.Provision(ctx, js, s.config, false)
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	o.step("%d streams, the workers' consumer and the bucket of the routing rules", len(changes)-2)
	return nil
}

// migrate migrates the schema as the superuser, and puts into the configuration the role that
// serves, which cannot rewrite history.
func (s *sandbox) migrate(ctx context.Context, o sandboxOptions) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxStartTimeout)
	defer cancel()
	pool, err := pgxpool.New(ctx, s.postgres.URL(sandboxDatabase))
	if err != nil {
		return fmt.Errorf("connect to the private PostgreSQL: %w", err)
	}
	defer pool.Close()
	if _, err := store.Migrate(ctx, pool, nil); err != nil {
		return err
	}
	password := rand.Text()
	if err := s.postgres.CreateRole(ctx, servingRole, password); err != nil {
		return err
	}
	if err := store.GrantServing(ctx, pool, servingRole); err != nil {
		return err
	}
	version, err := store.SchemaVersion(ctx, pool)
	if err != nil {
		return err
	}
	serving, err := withCredentials(s.postgres.URL(sandboxDatabase), servingRole, password)
	if err != nil {
		return err
	}
	s.config.Postgres.URL = config.URL(serving)
	o.step("PostgreSQL at %s, schema version %d", s.config.Postgres.URL, version)
	return nil
}

// sub is a path below the folder of the data, "" if no data is kept.
func (o sandboxOptions) sub(name string) string {
	if o.dir == "" {
		return ""
	}
	return filepath.Join(o.dir, name)
}

// close ends the servers. The instances that use them must have ended before.
func (s *sandbox) close() error {
	var errs []error
	for _, simulator := range s.simulators {
		errs = append(errs, simulator.stop())
	}
	if s.webhooks != nil {
		_ = s.webhooks.Close() // an instance that served it has closed it
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	if s.nats != nil {
		errs = append(errs, s.nats.Stop())
	}
	return errors.Join(errs...)
}

// runInstances plays all roles n times, as n processes with one bus and one database would, while
// during runs, and then drains them. Only the first instance plays the role webhook, which has one
// port. If an instance fails, the context of during ends with its error.
func (s *sandbox) runInstances(ctx context.Context, n int, log *zap.Logger, during func(context.Context) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	instances, err := s.openInstances(ctx, n, log)
	if err != nil {
		return err
	}
	serving, drain := context.WithCancel(context.WithoutCancel(ctx))
	defer drain()
	ended := make(chan error, n)
	for _, instance := range instances {
		go func() {
			err := instance.Run(serving)
			if err != nil {
				fail(err)
			}
			ended <- err
		}()
	}
	errs := []error{during(ctx)}
	drain()
	for range instances {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

func (s *sandbox) openInstances(ctx context.Context, n int, log *zap.Logger) ([]*app.Process, error) {
	instances := make([]*app.Process, 0, n)
	for i := range n {
		cfg, log := s.config, log
		if n > 1 {
			cfg.NATS.Name = fmt.Sprintf("%s %d", cfg.NATS.Name, i+1)
			log = log.With(zap.Int("instance", i+1))
		}
		o := app.Options{WrapGateway: simulateDialErrors}
		if i == 0 {
			cfg.Roles, o.Webhooks = append(slices.Clone(cfg.Roles), config.RoleWebhook), s.webhooks
		}
		instance, err := app.Open(ctx, cfg, log, o)
		if err != nil {
			for _, opened := range instances {
				opened.Close()
			}
			return nil, err
		}
		instances = append(instances, instance)
	}
	return instances, nil
}

// simulateDialErrors adds the one fault that a server cannot simulate by itself.
func simulateDialErrors(_ string, g gateway.Gateway) gateway.Gateway { return sim.NewDialErrors(g) }

// servingRole is the role of deployments/postgres/roles.sql that does the daily work.
const servingRole = "tender_serve"

// withCredentials replaces the name and the password in a URL.
func withCredentials(address, user, password string) (string, error) {
	parsed, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("read the address of the private PostgreSQL: %w", err)
	}
	parsed.User = url.UserPassword(user, password)
	return parsed.String(), nil
}
