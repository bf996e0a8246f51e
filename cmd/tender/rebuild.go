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

// rebuild is `tender rebuild`.
type rebuild struct {
	*term.Env
	options books.RebuildOptions
}

func newRebuild(e *term.Env) *cobra.Command {
	c := &rebuild{Env: e}
	o := &c.options
	cmd := &cobra.Command{
		Use:   "rebuild [PAYMENT...]",
		Short: "Compare stored payments with their history, or rewrite them",
		Long: `Rebuild derives the state, the columns and the timer of each payment from its events, and
shows every stored value that differs. Without --apply it changes nothing, and exits with
code 1 if a value differs. A payment of which only events are left gets its row back.
Rebuild never writes events, and needs only the rights of the role that serves.

It may run while payments are processed: it compares a payment again that moves
meanwhile. It reports a history that is damaged, or that ends before the state does, and
leaves the payment as it is: the rest of such a history would forget money that moved.
tender verify PAYMENT shows more about it.`,
		Example: `  tender rebuild                                             # only compare
  tender rebuild 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --apply
  tender rebuild --json | jq -r 'select(.damage) | .payment_id'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("workers") && o.Workers < 1 {
				return term.UsageError("--workers must be greater than zero")
			}
			var err error
			if o.Payments, err = paymentIDs(args); err != nil {
				return err
			}
			return app.WithDatabase(cmd.Context(), c.Env, func(pool *pgxpool.Pool) error { return c.run(cmd.Context(), pool) })
		},
	}
	cmd.Flags().BoolVar(&o.Apply, "apply", false, "write what differs")
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "connections that work at once, beside one; less than\npostgres.max_conns\n(default: one for each CPU, at least 2)")
	return cmd
}

func (c *rebuild) run(ctx context.Context, pool *pgxpool.Pool) error {
	o := c.options
	if most := int(pool.Config().MaxConns) - 1; o.Workers > most {
		return term.UsageError("--workers must be less than postgres.max_conns: at most %d", most)
	}
	shown := c.NewMeter()
	o.Progress = shown.Update
	o.Found = func(r books.Rebuilt) error {
		shown.Clear()
		return c.show(r)
	}
	report, err := books.Rebuild(ctx, pool, o)
	shown.Clear()
	if err != nil {
		return err
	}
	if len(o.Payments) > 0 && report == (books.RebuildReport{}) {
		return term.NoSuch("nothing is stored about the payments named")
	}
	c.sumUp(report, o.Apply)
	if report.Damaged > 0 || report.Applied < report.Differing {
		return term.SayNo()
	}
	return nil
}

// sumUp writes the totals to standard error.
func (c *rebuild) sumUp(r books.RebuildReport, applied bool) {
	text := fmt.Sprintf("%d payments: %d differ from their history", r.Payments, r.Differing)
	if applied {
		text = fmt.Sprintf("%d payments: %d rebuilt", r.Payments, r.Applied)
	}
	if r.Damaged > 0 {
		text += fmt.Sprintf(", %d cannot be rebuilt", r.Damaged)
	}
	c.Remark("%s", text)
	if !applied && r.Differing > 0 {
		c.Remark("nothing was changed; --apply rewrites them")
	}
}

// show prints one payment as soon as it was compared: there may be very many.
func (c *rebuild) show(r books.Rebuilt) error {
	if c.JSON {
		return c.PrintJSON(r)
	}
	if r.Damage != "" {
		_, err := fmt.Fprintf(c.Stdout, "payment %s cannot be rebuilt: %s\n", r.PaymentID, term.Printable(r.Damage))
		return err
	}
	verb := "differs from its history"
	if r.Applied {
		verb = "was rebuilt"
	}
	fmt.Fprintf(c.Stdout, "payment %s %s\n", r.PaymentID, verb)
	t := term.NewTable(c.Stdout, "  FIELD", "FROM", "TO")
	for _, d := range r.Differences {
		t.Row("  "+d.Table+"."+d.Field, d.From, d.To)
	}
	return t.Flush()
}
