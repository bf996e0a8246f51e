package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
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

// sandbox is everything around Tender that Tender needs, private to this process: a NATS server with JetStream, a
// PostgreSQL server, and simulators as the gateways, each on a real port of the loopback interface. The streams are
// provisioned, the schema is migrated, and config leads there as the role that serves.
type sandbox struct {
	config config.Config
	// simulators are the gateways, in the order of the options.
	simulators []*sandboxSimulator
	// webhooks is where the first instance takes in what they tell.
	webhooks net.Listener
	nats     *servers.NATSServer
	postgres *servers.Postgres
}

// sandboxOptions say where a sandbox lives and how fast its clocks go.
type sandboxOptions struct {
	// dir keeps the data for the next start; "" is a temporary one.
	dir string
	// nats and webhooks are the ports; PostgreSQL takes a free one.
	nats, webhooks portChoice
	// gateways are the simulators.
	gateways []sandboxGateway
	// tune changes the configuration from its defaults; nil leaves them. It runs before anything is started, and names every gateway.
	tune func(*config.Config)
	// step hears of everything that is ready.
	step func(format string, args ...any)
}

// portChoice is a port that is preferred, or one that nothing else may stand for. The zero value takes any.
type portChoice struct {
	number int
	fixed  bool
}

// orFree calls start with the chosen port, and with 0 for a free one if the chosen one can't be had and needn't be.
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
		// What is acknowledged is on the disk, as in production.
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

// startSimulators starts the gateways, and before them the port that they tell what they did.
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
		purpose += " and tells of it with webhooks"
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
	nc, err := dialNATS(s.config.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := bus.JetStream(nc, 0)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	changes, err := provisionBus(ctx, js, s.config, false)
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	o.step("%d streams, the workers' consumer and the bucket of the routing rules", len(changes)-2)
	return nil
}

// migrate brings the schema up as the superuser and leaves in the configuration the role that serves, which cannot
// rewrite history.
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

// sub is a place below the folder that keeps the data, "" if nothing is kept.
func (o sandboxOptions) sub(name string) string {
	if o.dir == "" {
		return ""
	}
	return filepath.Join(o.dir, name)
}

// close ends the servers. What uses them is to be ended before.
func (s *sandbox) close() error {
	var errs []error
	for _, simulator := range s.simulators {
		errs = append(errs, simulator.stop())
	}
	if s.webhooks != nil {
		_ = s.webhooks.Close() // An instance that served there has closed it.
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	if s.nats != nil {
		errs = append(errs, s.nats.Stop())
	}
	return errors.Join(errs...)
}
