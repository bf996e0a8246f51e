package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

// simulate is `tenderlab simulator`.
type simulate struct {
	*term.Env
	listen, keyFrom, webhookSecretFrom string
	config                             simulator.Config
}

func newSimulator(e *term.Env) *cobra.Command {
	c := &simulate{Env: e}
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Run a payment gateway that moves no money, as an HTTP server",
		Long: `Simulator answers as a payment gateway would, fails in the ways in which gateways fail,
and keeps a ledger of its real effects, at /v1/ledger. The payment method decides the
outcome:

  pm_card_visa, pm_card_mastercard   approved
  pm_card_visa_chargeDeclined        declined; likewise
                                     pm_card_visa_chargeDeclinedLostCard,
                                     pm_card_visa_chargeDeclinedInsufficientFunds, ...
  pm_card_authenticationRequired     asks for 3-D Secure; a confirm succeeds
  sim_charge_then_timeout            charges, then does not answer
  sim_500_no_charge, sim_429,        other faults: see the package documentation of
  sim_slow_<ms>, ...                 processor/gateway/sim

With --webhook-url it also sends webhooks for its operations, signed with the secret that
--webhook-secret-env names, and for reversals (sim_capture_reversed, pm_card_refundFail)
and disputes (pm_card_createDispute).

Without --ledger it forgets everything when it ends.`,
		Example: `  tenderlab simulator
  tenderlab simulator --listen 127.0.0.1:0 --ledger simulator.jsonl
  tenderlab simulator --webhook-url http://127.0.0.1:8586/webhooks/simulator
  curl -s http://127.0.0.1:8585/v1/ledger
  curl -X POST http://127.0.0.1:8585/v1/disputes/dp_<operation id>/won`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&c.listen, "listen", "127.0.0.1:8585", "`address` to listen on; port 0 is a free one\n")
	flags.StringVar(&c.config.Journal, "ledger", "", "`file` that keeps the ledger over restarts (default: in memory)")
	flags.BoolVar(&c.config.Sync, "sync", false, "write the ledger through to the disk before each answer")
	flags.DurationVar(&c.config.Hang, "hang", 30*time.Second, "delay of the faults that run into a timeout")
	flags.StringVar(&c.keyFrom, "api-key-env", config.EnvName("gateways.simulator.api_key"), "`variable` with the API key to require; without it none is\n")
	flags.StringVar(&c.config.URL, "public-url", "", "https `URL` of the page to which a challenged customer is sent\n(default: one that leads nowhere)")
	flags.StringVar(&c.config.Webhook.URL, "webhook-url", "", "`URL` to send events to (default: none are sent)")
	flags.StringVar(&c.webhookSecretFrom, "webhook-secret-env", config.EnvName("gateways.simulator.webhook_secret"), "`variable` with the secret that signs events\n")
	return cmd
}

// takeWebhookSecret reads the secret that signs events: the first of those that the receiver
// accepts.
func (c *simulate) takeWebhookSecret() error {
	if c.config.Webhook.URL == "" {
		return nil
	}
	given := config.Gateway{WebhookSecret: config.Secret(term.Lookup(c.Environ, c.webhookSecretFrom))}
	secrets := given.WebhookSecrets()
	if len(secrets) == 0 || secrets[0] == "" {
		return term.UsageError("--webhook-url needs a secret to sign with, in $%s", c.webhookSecretFrom)
	}
	c.config.Webhook.Secret = secrets[0].Reveal()
	return nil
}

// run serves until ctx ends.
func (c *simulate) run(ctx context.Context) error {
	if err := c.takeWebhookSecret(); err != nil {
		return err
	}
	log := app.NewLog(c.Stderr, config.Log{Level: config.LogInfo, Format: config.LogConsole})
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", c.listen)
	if err != nil {
		return term.UsageError("listen on %s: %w", c.listen, err)
	}
	address := "http://" + listener.Addr().String()
	served, err := simulator.New(c.config) //nolint:contextcheck // it sends webhooks until Close
	if err != nil {
		return errors.Join(fmt.Errorf("open the simulator: %w", err), listener.Close())
	}
	key := term.Lookup(c.Environ, c.keyFrom)
	log.Info("the simulator is listening", zap.String("url", address), zap.String("ledger", c.config.Journal),
		zap.Bool("api_key", key != ""), zap.String("webhook_url", c.config.Webhook.URL))
	fmt.Fprintln(c.Stdout, address)
	err = served.Serve(ctx, listener, key)
	if closeErr := served.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close the ledger: %w", closeErr))
	}
	return err
}
