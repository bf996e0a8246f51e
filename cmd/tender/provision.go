package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
)

// provision is `tender provision`.
type provision struct {
	*term.Env
	check bool
}

func newProvision(e *term.Env) *cobra.Command {
	c := &provision{Env: e}
	cmd := &cobra.Command{
		Use:   "provision",
		Short: "Make or update the streams, consumers and the bucket on NATS",
		Long: `Provision makes the streams PAYMENTS_CMD, PAYMENTS_EVT, PAYMENTS_DLQ, PAYMENTS_ADV and
PAYMENTS_AUDIT, the consumers of the workers and the collector, and the bucket of the
routing rules, or updates them to the configuration (streams, worker). It prints its
changes and may be repeated. It deletes no stream and no message, and refuses changes
that would.`,
		Example: `  tender provision
  tender provision --check      # only compare; exit code 1 if something differs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.Load()
			if err != nil {
				return err
			}
			b, err := app.OpenBus(cfg)
			if err != nil {
				return err
			}
			defer b.Close()
			return c.run(cmd.Context(), b.JS, cfg)
		},
	}
	cmd.Flags().BoolVar(&c.check, "check", false, "only compare and print the differences; exit code 1 if there are any")
	return cmd
}

func (c *provision) run(ctx context.Context, js jetstream.JetStream, cfg config.Config) error {
	changes, err := app.Provision(ctx, js, cfg, c.check)
	for _, change := range changes {
		if c.JSON {
			err = errors.Join(err, c.PrintJSON(change))
			continue
		}
		fmt.Fprintln(c.Stdout, change)
	}
	var refused *bus.RefusedChangeError
	if errors.As(err, &refused) {
		return &term.ExitError{Code: term.ExitNo, Err: err}
	}
	if err != nil {
		return fmt.Errorf("provision NATS at %s: %w", cfg.NATS.URL, err)
	}
	differs := func(ch bus.Change) bool { return ch.Action != bus.ActionUnchanged }
	if c.check && slices.ContainsFunc(changes, differs) {
		return term.SayNo()
	}
	return nil
}
