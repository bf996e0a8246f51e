package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

func newCheckpoint(e *term.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "List the checkpoints that prove the history unchanged",
		Long: `A checkpoint is a hash over all events recorded since the one before it. The role
scheduler takes checkpoints (checkpoint.interval), and the relay publishes them on the
stream PAYMENTS_AUDIT, from which nothing can be deleted. tender verify compares the
history with the checkpoints, and the checkpoints with the stream.`,
		Example: "  tender checkpoint ls",
		Args:    cobra.NoArgs,
		RunE:    term.Help,
	}
	cmd.AddCommand(newCheckpointList(e))
	return cmd
}

// checkpointList is `tender checkpoint ls`.
type checkpointList struct {
	*term.Env
	after int64
}

func newCheckpointList(e *term.Env) *cobra.Command {
	c := &checkpointList{Env: e}
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the checkpoints in the database, oldest first",
		Long: `List shows each checkpoint with the events it covers, its root and its own hash, which
the next one carries. --json prints each as it was published: the SHA-256 of that line,
without the line feed, is the hash.`,
		Example: `  tender checkpoint ls
  tender checkpoint ls --json | tail -1 | tr -d '\n' | sha256sum    # worth keeping somewhere else`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.WithDatabase(cmd.Context(), c.Env, func(pool *pgxpool.Pool) error { return c.run(cmd.Context(), pool) })
		},
	}
	cmd.Flags().Int64Var(&c.after, "after", 0, "only those with a greater `number`")
	return cmd
}

func (c *checkpointList) run(ctx context.Context, pool *pgxpool.Pool) error {
	if c.JSON {
		return books.Checkpoints(ctx, pool, c.after, func(r books.RecordedCheckpoint) error {
			_, err := fmt.Fprintf(c.Stdout, "%s\n", r.Body())
			return err
		})
	}
	t := term.NewTable(c.Stdout, "NUMBER", "TAKEN", "EVENTS", "PAYMENTS", "UP TO", "ROOT", "HASH")
	err := books.Checkpoints(ctx, pool, c.after, func(r books.RecordedCheckpoint) error {
		t.Row(fmt.Sprint(r.Number), term.Moment(r.CreatedAt), fmt.Sprint(r.Events), fmt.Sprint(r.Payments), fmt.Sprint(r.ToPosition),
			r.Root.String(), r.Hash().String())
		return nil
	})
	if err != nil {
		return err
	}
	return t.Flush()
}
