package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// migrate is `tender migrate`.
type migrate struct {
	*term.Env
	grantTo string
	status  bool
}

func newMigrate(e *term.Env) *cobra.Command {
	c := &migrate{Env: e}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database schema to the version that this build needs",
		Long: `Migrate runs the migrations that the database lacks, each in its own transaction. They
are forward-only and additive: the previous version of tender runs on the new schema, so
migrate first and replace the processes afterwards. Several processes may migrate at
once; they take turns.

Connect as the role that owns the schema. --grant-to gives another role exactly the
rights that serving needs, which do not include changing or deleting history.`,
		Example: `  tender migrate --postgres postgres://tender_migrate@db/tender --grant-to tender_serve
  tender migrate --status       # exit code 1 if migrations are missing`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := term.Apart(cmd, "status", "grant-to"); err != nil {
				return err
			}
			cfg, err := c.Load()
			if err != nil {
				return err
			}
			pool, err := openOwner(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer pool.Close()
			if c.status {
				return c.showStatus(cmd.Context(), pool)
			}
			return c.run(cmd.Context(), pool)
		},
	}
	cmd.Flags().StringVar(&c.grantTo, "grant-to", "", "give this `role` the rights that serving needs, and no others")
	cmd.Flags().BoolVar(&c.status, "status", false, "only print the version of the schema; exit code 1 if it is too old")
	return cmd
}

// openOwner connects without a time limit on statements, for those that build an index.
func openOwner(ctx context.Context, cfg config.Config) (*pgxpool.Pool, error) {
	cfg.Postgres.StatementTimeout = 0
	cfg.Postgres.MinConns = 0
	cfg.Postgres.MaxConns = max(cfg.Postgres.MaxConns, 2)
	return app.DialPool(ctx, cfg.Postgres, cfg.NATS.Name+" migrate")
}

type appliedMigration struct {
	Version    int64  `json:"version"`
	Name       string `json:"name"`
	DurationMS int64  `json:"duration_ms"`
}

// migration is the result of a run, for programs.
type migration struct {
	Applied       []appliedMigration `json:"applied"`
	SchemaVersion int64              `json:"schema_version"`
	GrantedTo     string             `json:"granted_to,omitempty"`
}

func (c *migrate) run(ctx context.Context, pool *pgxpool.Pool) error {
	result := migration{Applied: []appliedMigration{}, GrantedTo: c.grantTo}
	_, err := store.Migrate(ctx, pool, func(a store.Applied) {
		result.Applied = append(result.Applied, appliedMigration{a.Version, a.Name, a.Duration.Milliseconds()})
		c.Remark("applied %d %s in %s", a.Version, a.Name, a.Duration.Round(time.Millisecond))
	})
	if err != nil {
		return err
	}
	if c.grantTo != "" {
		if err := store.GrantServing(ctx, pool, c.grantTo); err != nil {
			return err
		}
		c.Remark("granted the rights of serving to %s", c.grantTo)
	}
	if result.SchemaVersion, err = store.SchemaVersion(ctx, pool); err != nil {
		return err
	}
	if c.JSON {
		return c.PrintJSON(result)
	}
	fmt.Fprintf(c.Stdout, "schema is at version %d (%d applied now)\n", result.SchemaVersion, len(result.Applied))
	return nil
}

func (c *migrate) showStatus(ctx context.Context, pool *pgxpool.Pool) error {
	version, err := store.SchemaVersion(ctx, pool)
	if err != nil {
		return err
	}
	needed, err := store.NeededSchemaVersion()
	if err != nil {
		return err
	}
	if c.JSON {
		err = c.PrintJSON(struct {
			SchemaVersion int64 `json:"schema_version"`
			Needed        int64 `json:"needed_version"`
		}{version, needed})
	} else {
		_, err = fmt.Fprintf(c.Stdout, "schema is at version %d, this build needs %d\n", version, needed)
	}
	if err == nil && version < needed {
		return term.SayNo()
	}
	return err
}
