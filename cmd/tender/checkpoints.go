package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/checkpoint"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

func newCheckpoint(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Look at the proofs of what the history held",
		Long: `A checkpoint is a hash over everything that was recorded since the one before it. The role scheduler takes them
(checkpoint.interval) and they are published on the stream PAYMENTS_AUDIT, from which nothing can be deleted. tender verify
holds the history against them, and them against the stream.`,
		Example: "  tender checkpoint ls",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCheckpointList(c))
	return cmd
}

func newCheckpointList(c *cli) *cobra.Command {
	var after int64
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the checkpoints in the database, oldest first",
		Long: `List shows each checkpoint with what it covers, its root and its own hash, which the next one carries. With --json it shows
each as it was published: the SHA-256 of that line, without the line feed, is the hash.`,
		Example: `  tender checkpoint ls
  tender checkpoint ls --json | tail -1 | tr -d '\n' | sha256sum    # worth keeping somewhere else`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withDatabase(cmd.Context(), func(pool *pgxpool.Pool) error { return c.listCheckpoints(cmd.Context(), pool, after) })
		},
	}
	cmd.Flags().Int64Var(&after, "after", 0, "only those with a greater `number`")
	return cmd
}

func (c *cli) listCheckpoints(ctx context.Context, pool *pgxpool.Pool, after int64) error {
	if c.json {
		return books.Checkpoints(ctx, pool, after, func(r books.RecordedCheckpoint) error {
			_, err := fmt.Fprintf(c.stdout, "%s\n", r.Body())
			return err
		})
	}
	t := newTable(c.stdout, "NUMBER", "TAKEN", "EVENTS", "PAYMENTS", "UP TO", "ROOT", "HASH")
	err := books.Checkpoints(ctx, pool, after, func(r books.RecordedCheckpoint) error {
		t.row(fmt.Sprint(r.Number), moment(r.CreatedAt), fmt.Sprint(r.Events), fmt.Sprint(r.Payments), fmt.Sprint(r.ToPosition),
			r.Root.String(), r.Hash().String())
		return nil
	})
	if err != nil {
		return err
	}
	return t.flush()
}

// compareCheckpoints adds to a report what the copies of the checkpoints on the bus say. Verify does without them where there
// is no bus, but says so.
func (c *cli) compareCheckpoints(ctx context.Context, pool *pgxpool.Pool, report *books.Report) {
	compared, err := c.checkpointsOnBus(ctx, pool)
	if err != nil {
		c.remark("the checkpoints were not held against those on the bus: %v", err)
		return
	}
	report.Add(books.CheckpointsPublished, compared.Compared, compared.Findings...)
}

func (c *cli) checkpointsOnBus(ctx context.Context, pool *pgxpool.Pool) (checkpoint.Comparison, error) {
	cfg, err := c.load()
	if err != nil {
		return checkpoint.Comparison{}, err
	}
	b, err := openBus(cfg)
	if err != nil {
		return checkpoint.Comparison{}, err
	}
	defer b.close()
	return checkpoint.Compare(ctx, b.js, pool)
}
