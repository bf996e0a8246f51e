package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

func newRebuild(c *cli) *cobra.Command {
	var o books.RebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild [PAYMENT...]",
		Short: "Compare what is stored of payments with their history and, with --apply, write it anew",
		Long: `Rebuild derives the state, the columns and the timer of each payment from its events, and shows every value that is stored
otherwise. Without --apply it changes nothing, and its exit code is 1 if there is something to change. A payment of which only events
are left gets its row back. It never writes events, and needs no more than the rights of the role that serves.

It may run while payments are processed: one that moves meanwhile is compared anew. A history that is damaged, or that ends before the
state does, is reported and left alone, since writing what is left of it would forget money that moved; tender verify PAYMENT
tells more about it.`,
		Example: `  tender rebuild                                             # what would be changed
  tender rebuild 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10 --apply
  tender rebuild --json | jq -r 'select(.damage) | .payment_id'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("workers") && o.Workers < 1 {
				return usageError("--workers must be greater than zero")
			}
			var err error
			if o.Payments, err = paymentIDs(args); err != nil {
				return err
			}
			return c.withDatabase(cmd.Context(), func(pool *pgxpool.Pool) error { return c.rebuild(cmd.Context(), pool, o) })
		},
	}
	cmd.Flags().BoolVar(&o.Apply, "apply", false, "write what differs")
	cmd.Flags().IntVar(&o.Workers, "workers", 0, "connections that work at once, beside one; less than postgres.max_conns (default: as many as CPUs, 2 at least)")
	return cmd
}

func (c *cli) rebuild(ctx context.Context, pool *pgxpool.Pool, o books.RebuildOptions) error {
	if most := int(pool.Config().MaxConns) - 1; o.Workers > most {
		return usageError("--workers must be less than postgres.max_conns: at most %d", most)
	}
	shown := c.newMeter()
	o.Progress = shown.update
	o.Found = func(r books.Rebuilt) error {
		shown.clear()
		return c.showRebuilt(r)
	}
	report, err := books.Rebuild(ctx, pool, o)
	shown.clear()
	if err != nil {
		return err
	}
	if len(o.Payments) > 0 && report == (books.RebuildReport{}) {
		return noSuch("nothing is stored about the payments named")
	}
	c.remarkRebuilt(report, o.Apply)
	if report.Damaged > 0 || report.Applied < report.Differing {
		return sayNo()
	}
	return nil
}

// remarkRebuilt sums up, beside the output.
func (c *cli) remarkRebuilt(r books.RebuildReport, applied bool) {
	text := fmt.Sprintf("%d payments: %d differ from their history", r.Payments, r.Differing)
	if applied {
		text = fmt.Sprintf("%d payments: %d rebuilt", r.Payments, r.Applied)
	}
	if r.Damaged > 0 {
		text += fmt.Sprintf(", %d cannot be rebuilt", r.Damaged)
	}
	c.remark("%s", text)
	if !applied && r.Differing > 0 {
		c.remark("nothing was changed; --apply writes it")
	}
}

// showRebuilt shows one payment as soon as it was looked at: there may be very many.
func (c *cli) showRebuilt(r books.Rebuilt) error {
	if c.json {
		return c.printJSON(r)
	}
	if r.Damage != "" {
		_, err := fmt.Fprintf(c.stdout, "payment %s cannot be rebuilt: %s\n", r.PaymentID, printable(r.Damage))
		return err
	}
	verb := "differs from its history"
	if r.Applied {
		verb = "was rebuilt"
	}
	fmt.Fprintf(c.stdout, "payment %s %s\n", r.PaymentID, verb)
	t := newTable(c.stdout, "  FIELD", "FROM", "TO")
	for _, d := range r.Differences {
		t.row("  "+d.Table+"."+d.Field, d.From, d.To)
	}
	return t.flush()
}
