package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/store"
)

func newVerify(c *cli) *cobra.Command {
	var o store.CheckOptions
	var others otherBooks
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check on the database what must always hold; exit code 1 if anything is off",
		Long: `Verify reads every payment and its history and checks that versions are contiguous, that the history gives the state, that
no money was moved beyond its limits, that nothing is stuck, and more; the report names each check. It may run while payments are
processed: it sees one moment. It changes nothing.

With --bus it also reads the whole stream of events and compares it with the history, both ways. With --ledger it compares what
is recorded with what a simulator says that it did; all gateways that moved money have to be named.`,
		Example: `  tender verify
  tender verify --bus
  tender verify --ledger primary=http://127.0.0.1:8585 --ledger second=http://127.0.0.1:8586
  tender verify --json | jq '.findings[].payment_id'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Workers < 1 || o.FindingsMax < 1 || o.StaleAfter <= 0 {
				return usageError("--workers, --findings and --stale-after must be greater than zero")
			}
			return c.withDatabase(cmd.Context(), func(pool *pgxpool.Pool) error { return c.verify(cmd.Context(), pool, o, others) })
		},
	}
	flags := cmd.Flags()
	others.bind(flags)
	flags.IntVar(&o.Workers, "workers", 2, "connections that read at once, beside one; less than postgres.max_conns")
	flags.IntVar(&o.FindingsMax, "findings", 100, "findings to show at most; all are counted")
	flags.DurationVar(&o.StaleAfter, "stale-after", 15*time.Minute, "age from which what waits counts as stuck")
	return cmd
}

// verdict is the result of verify, for programs.
type verdict struct {
	OK bool `json:"ok"`
	store.Report
}

func (c *cli) verify(ctx context.Context, pool *pgxpool.Pool, o store.CheckOptions, others otherBooks) error {
	if most := int(pool.Config().MaxConns) - 1; o.Workers > most {
		return usageError("--workers must be less than postgres.max_conns: at most %d", most)
	}
	onTerminal := !c.quiet && fancy(c.stderr, c.environ)
	if onTerminal {
		o.Progress = func(p store.CheckProgress) {
			fmt.Fprintf(c.stderr, "\r%d of %d %s checked\x1b[K", p.Done, p.Total, p.Unit)
		}
	}
	report, err := store.CheckInvariants(ctx, pool, o)
	if err == nil {
		err = c.compareOthers(ctx, pool, others, o, &report)
	}
	if onTerminal {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	c.compareCheckpoints(ctx, pool, &report)
	if c.json {
		err = c.printJSON(verdict{report.Clean(), report})
	} else {
		err = c.showReport(report)
	}
	if err == nil && !report.Clean() {
		return sayNo()
	}
	return err
}

func (c *cli) showReport(r store.Report) error {
	t := newTable(c.stdout, "INVARIANT", "CHECKED", "VIOLATED")
	var violations int64
	names := maps.Clone(r.Checked)
	maps.Copy(names, r.Violated)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t.row(string(name), fmt.Sprint(r.Checked[name]), fmt.Sprint(r.Violated[name]))
		violations += r.Violated[name]
	}
	if err := t.flush(); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(c.stdout)
		found := newTable(c.stdout, "PAYMENT", "INVARIANT", "FINDING")
		for _, f := range r.Findings {
			found.row(f.PaymentID.String(), string(f.Invariant), f.Detail)
		}
		if err := found.flush(); err != nil {
			return err
		}
	}
	result := "everything holds"
	if violations > 0 {
		result = fmt.Sprintf("violations: %d", violations)
	}
	_, err := fmt.Fprintf(c.stdout, "\n%d payments with %d events, %d idempotency keys, %d outbox rows: %s\n",
		r.Payments, r.Events, r.Claims, r.OutboxRows, result)
	return err
}
