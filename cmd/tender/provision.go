package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

func newProvision(c *cli) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "provision",
		Short: "Make the streams, the consumers and the bucket on NATS, or bring them up to the configuration",
		Long: `Provision brings the streams PAYMENTS_CMD, PAYMENTS_EVT, PAYMENTS_DLQ, PAYMENTS_ADV and PAYMENTS_AUDIT, the consumers of the
workers and the collector, and the bucket of the routing rules to what the configuration says (streams, worker), and prints what it changed. It may be repeated. It
deletes no stream and no message, and refuses what would.`,
		Example: `  tender provision
  tender provision --check      # only compare; exit code 1 if something differs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			b, err := openBus(cfg)
			if err != nil {
				return err
			}
			defer b.close()
			return c.provision(cmd.Context(), b.js, cfg, check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only compare and print the differences; exit code 1 if there are any")
	return cmd
}

func (c *cli) provision(ctx context.Context, js jetstream.JetStream, cfg config.Config, check bool) error {
	changes, err := provisionBus(ctx, js, cfg, check)
	for _, change := range changes {
		if c.json {
			err = errors.Join(err, c.printJSON(change))
			continue
		}
		fmt.Fprintln(c.stdout, change)
	}
	var refused *bus.RefusedChangeError
	if errors.As(err, &refused) {
		return &exitError{code: exitNo, err: err}
	}
	if err != nil {
		return fmt.Errorf("provision NATS at %s: %w", cfg.NATS.URL, err)
	}
	differs := func(ch bus.Change) bool { return ch.Action != bus.ActionUnchanged }
	if check && slices.ContainsFunc(changes, differs) {
		return sayNo()
	}
	return nil
}

// provisionBus makes everything that Tender keeps on NATS, or only compares, and says what it changed.
func provisionBus(ctx context.Context, js jetstream.JetStream, cfg config.Config, check bool) ([]bus.Change, error) {
	changes, err := bus.Provision(ctx, js, streamOptions(cfg), bus.ProvisionOptions{CheckOnly: check})
	if err != nil {
		return changes, err
	}
	bucket, err := routing.EnsureBucket(ctx, js, routing.BucketOptions{Replicas: cfg.Streams.Replicas, CheckOnly: check})
	if err != nil {
		return changes, err
	}
	return append(changes, bucket), nil
}

// streamOptions translates the settings of the streams, and of the consumer that the workers' settings imply.
func streamOptions(cfg config.Config) bus.StreamOptions {
	s := cfg.Streams
	return bus.StreamOptions{
		Replicas:         s.Replicas,
		CommandMaxAge:    orForEver(s.CmdMaxAge),
		CommandMaxBytes:  s.CmdMaxBytes,
		DuplicatesWindow: s.Duplicates,
		EventMaxAge:      s.EvtMaxAge,
		DeadLetterMaxAge: orForEver(s.DLQMaxAge),
		AckWait:          cfg.Worker.AckWait,
		// Room for the slots of several processes.
		AckPendingMax: max(10_000, 4*cfg.Worker.SlotsMax),
		// The workers give a command up long before the server would.
		DeliveriesMax: cfg.Worker.DeliveriesMax + 12,
	}
}

// orForEver translates a limit of which 0 means none for options of which 0 means the default: nothing gets to be a hundred
// years old.
func orForEver(age time.Duration) time.Duration {
	if age == 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return age
}
