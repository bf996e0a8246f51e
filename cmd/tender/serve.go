package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
)

func newServe(c *cli) *cobra.Command {
	var roles []string
	var profiles string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Process payments: play the roles of a worker, a relay, a scheduler and a webhook endpoint",
		Long: `Serve processes payments until it is told to stop. Run it in as many processes as you like, each with these roles or
with some; a deployment needs each of them at least once:

  worker     takes commands, calls gateways, records outcomes
  relay      publishes committed events; one relay works, the others stand by
  scheduler  fires due timers: retries, checks of unknown outcomes, expiries

and one more where gateways say of their own accord what became of an operation:

  webhook    takes their events on webhook.listen, POST /webhooks/<gateway>, for every gateway with a webhook_secret

It waits for NATS and PostgreSQL, and for tender provision and tender migrate to have prepared them, and says which of
them it is waiting for and where.

SIGTERM and SIGINT drain: nothing new is begun, what was begun is finished within shutdown.drain_timeout, its events are
published, and the process exits with 0. A second signal ends it at once; nothing is lost by that either.`,
		Example: `  tender serve --config tender.yaml
  tender serve --roles worker
  tender serve --roles relay,scheduler --nats nats://nats:4222
  TENDER_GATEWAYS_SIMULATOR_WEBHOOK_SECRET=… tender serve --roles webhook`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(roles) > 0 {
				c.environ = override(c.environ, config.EnvName("roles"), strings.Join(roles, ","))
			}
			if profiles != "" {
				if err := checkPprof(profiles); err != nil {
					return err
				}
			}
			cfg, err := c.load()
			if err != nil {
				return err
			}
			return c.serve(cmd.Context(), cfg, profiles)
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", nil, "roles to play: `list` of worker, relay, scheduler, webhook (default: as configured, all but webhook)")
	cmd.Flags().StringVar(&profiles, "pprof", "", "serve profiles at this loopback `address`, such as 127.0.0.1:6060, below /debug/pprof/ (default: off)")
	return cmd
}

// serve runs the roles until ctx ends, and serves profiles meanwhile unless their address is empty. To be told to stop while still waiting for a service is no failure.
func (c *cli) serve(ctx context.Context, cfg config.Config, profiles string) error {
	log := newLog(c.stderr, cfg.Log)
	log.Info("starting", zap.String("version", thisBuild().Version), zap.Any("roles", cfg.Roles),
		zap.Stringer("nats", cfg.NATS.URL), zap.Stringer("postgres", cfg.Postgres.URL))
	if profiles != "" {
		stop, err := servePprof(ctx, profiles, log.Named("pprof"))
		if err != nil {
			return err
		}
		defer stop()
	}
	p, err := open(ctx, cfg, log, openOptions{wait: true})
	if err == nil {
		err = p.run(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
