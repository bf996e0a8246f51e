package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
)

// serve is `tender serve`.
type serve struct {
	*term.Env
	roles []string
	// profiles is the address of the profiles, "" for none.
	profiles string
}

func newServe(e *term.Env) *cobra.Command {
	c := &serve{Env: e}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Process payments: worker, relay, scheduler, webhook endpoint",
		Long: `Serve processes payments until a signal stops it. Run any number of processes, each with
all of these roles or some; a deployment needs each role at least once:

  worker     takes commands, calls gateways, records outcomes
  relay      publishes committed events; one relay works, the others stand by
  scheduler  fires due timers: retries, checks of unknown outcomes, expiries

and one more if gateways report outcomes by webhook:

  webhook    takes their events on webhook.listen, POST /webhooks/<gateway>, for every
             gateway with a webhook_secret

Serve waits until NATS and PostgreSQL answer and are prepared (tender provision, tender
migrate), and logs which of them it waits for and at which address.

A gateway of the kind sim, the simulator inside the process, moves no money: serve
refuses it unless the configuration says allow_simulator: true.

SIGTERM and SIGINT drain: the process begins nothing new, finishes its work within
shutdown.drain_timeout, publishes the events of it and exits with 0. A second signal ends
the process at once; no payment is lost by that either.`,
		Example: `  tender serve --config tender.yaml
  tender serve --roles worker
  tender serve --roles relay,scheduler --nats nats://nats:4222
  TENDER_GATEWAYS_SIMULATOR_WEBHOOK_SECRET=… tender serve --roles webhook`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(c.roles) > 0 {
				c.Environ = term.Override(c.Environ, config.EnvName("roles"), strings.Join(c.roles, ","))
			}
			if c.profiles != "" {
				if err := app.CheckPprof(c.profiles); err != nil {
					return err
				}
			}
			cfg, err := c.Load()
			if err != nil {
				return err
			}
			return c.run(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringSliceVar(&c.roles, "roles", nil,
		"roles to play: `list` of worker, relay, scheduler, webhook\n(default: as configured, all but webhook)")
	cmd.Flags().StringVar(&c.profiles, "pprof", "",
		"serve profiles at this loopback `address`, such as 127.0.0.1:6060,\nbelow /debug/pprof/ (default: off)")
	return cmd
}

// run plays the roles until ctx ends. A signal that comes while it waits for a service is no
// failure.
func (c *serve) run(ctx context.Context, cfg config.Config) error {
	log := app.NewLog(c.Stderr, cfg.Log)
	log.Info("starting", zap.String("version", term.ThisBuild().Version), zap.Any("roles", cfg.Roles),
		zap.Stringer("nats", cfg.NATS.URL), zap.Stringer("postgres", cfg.Postgres.URL))
	if c.profiles != "" {
		stop, err := app.ServePprof(ctx, c.profiles, log.Named("pprof"))
		if err != nil {
			return err
		}
		defer stop()
	}
	p, err := app.Open(ctx, cfg, log, app.Options{Wait: true})
	if err == nil {
		err = p.Run(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
