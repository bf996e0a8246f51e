package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

// simulatorFlags are those of simulator.
type simulatorFlags struct {
	listen, keyFrom, webhookSecretFrom string
	config                             simulator.Config
}

func newSimulator(c *cli) *cobra.Command {
	var f simulatorFlags
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Run a payment gateway that moves no money, as an HTTP server",
		Long: `Simulator answers as a payment gateway would, fails in the ways real ones fail, and keeps a ledger of what it really did, at
/v1/ledger. What it does with a payment depends on the payment method:

  pm_card_visa, pm_card_mastercard               approved
  pm_card_visa_chargeDeclinedInsufficientFunds   declined; likewise pm_card_visa_chargeDeclined, ...LostCard, ...
  pm_card_authenticationRequired                 asks for 3-D Secure; a confirm succeeds
  sim_charge_then_timeout                        charges, then does not answer
  sim_500_no_charge, sim_429, sim_slow_<ms>, ... and other faults: see the package documentation of processor/gateway/sim

With --webhook-url it also tells of its own accord what it did, signed with the secret that --webhook-secret-env names, and of
reversals (sim_capture_reversed, pm_card_refundFail) and disputes (pm_card_createDispute).

Without --ledger it forgets everything when it ends.`,
		Example: `  tender simulator
  tender simulator --listen 127.0.0.1:0 --ledger simulator.jsonl
  tender simulator --webhook-url http://127.0.0.1:8586/webhooks/simulator
  curl -s http://127.0.0.1:8585/v1/ledger
  curl -X POST http://127.0.0.1:8585/v1/disputes/dp_<operation id>/won`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.simulate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8585", "`address` to listen on; port 0 is a free one")
	flags.StringVar(&f.config.Journal, "ledger", "", "`file` that keeps the ledger over restarts (default: in memory)")
	flags.BoolVar(&f.config.Sync, "sync", false, "write the ledger through to the disk before each answer")
	flags.DurationVar(&f.config.Hang, "hang", 30*time.Second, "how long the faults that run into a timeout hold back")
	flags.StringVar(&f.keyFrom, "api-key-env", config.EnvName("gateways.simulator.api_key"), "`variable` that holds the API key to ask for; no key if it is empty")
	flags.StringVar(&f.config.Webhook.URL, "webhook-url", "", "`URL` to send events to (default: none are sent)")
	flags.StringVar(&f.webhookSecretFrom, "webhook-secret-env", config.EnvName("gateways.simulator.webhook_secret"), "`variable` that holds the secret to sign events with")
	return cmd
}

// takeWebhookSecret reads the secret that events are signed with: the first of those that the receiver takes.
func (f *simulatorFlags) takeWebhookSecret(environ []string) error {
	if f.config.Webhook.URL == "" {
		return nil
	}
	given := config.Gateway{WebhookSecret: config.Secret(lookup(environ, f.webhookSecretFrom))}
	secrets := given.WebhookSecrets()
	if len(secrets) == 0 || secrets[0] == "" {
		return usageError("--webhook-url needs a secret to sign with, in $%s", f.webhookSecretFrom)
	}
	f.config.Webhook.Secret = secrets[0].Reveal()
	return nil
}

// simulate serves until ctx ends.
func (c *cli) simulate(ctx context.Context, f simulatorFlags) error {
	if err := f.takeWebhookSecret(c.environ); err != nil {
		return err
	}
	log := newLog(c.stderr, config.Log{Level: config.LogInfo, Format: config.LogConsole})
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return usageError("listen on %s: %w", f.listen, err)
	}
	f.config.URL = "http://" + listener.Addr().String()
	served, err := simulator.New(f.config) //nolint:contextcheck // what it tells others goes on until Close
	if err != nil {
		return errors.Join(fmt.Errorf("open the simulator: %w", err), listener.Close())
	}
	key := lookup(c.environ, f.keyFrom)
	log.Info("the simulator is listening", zap.String("url", f.config.URL), zap.String("ledger", f.config.Journal),
		zap.Bool("api_key", key != ""), zap.String("webhook_url", f.config.Webhook.URL))
	fmt.Fprintln(c.stdout, f.config.URL)
	err = served.Serve(ctx, listener, key)
	if closeErr := served.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close the ledger: %w", closeErr))
	}
	return err
}
