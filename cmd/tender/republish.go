package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/republish"
)

// republishFlags say which events to publish again.
type republishFlags struct {
	since, until string
	payments     []string
	options      republish.Options
}

func newOutboxRepublish(c *cli) *cobra.Command {
	var f republishFlags
	cmd := &cobra.Command{
		Use:   "republish",
		Short: "Publish events again that the bus has lost",
		Long: `Republish compares the history of payments with what PAYMENTS_EVT holds and puts what is missing into the outbox, from where
the relays publish it: with the message ids and the bodies it had, in order of version for each payment. Events of a
payment that are newer than a missing one are published once more behind it. What the stream let go of by age is not missing.

The best time is after the bus was restored and before the relays are started: then everything comes in order at once. Beside
running relays some payments may have to be left for later, because newer events of theirs have just been published (recent) or
are about to be (in_flight): run it again after the stream's duplicates window (exit code 1 says that some were left). It may be
interrupted and run again at any time; what is on the bus by then, or on its way, is not sent twice.

--since and --until narrow it to payments with events of a time, --payment to some payments; --all sends their events again
whatever the bus holds, and needs one of --since and --payment.`,
		Example: `  tender outbox republish --dry-run
  tender outbox republish
  tender outbox republish --since 2026-03-01T11:00:00Z --until 2026-03-01T12:00:00Z --json
  tender outbox republish --all --payment 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(c); err != nil {
				return err
			}
			return c.withDatabase(cmd.Context(), func(pool *pgxpool.Pool) error {
				return c.withBus(func(b *link) error { return c.republish(cmd.Context(), pool, b, f.options) })
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "only events since this `time`: RFC 3339, a date, or how long ago (24h)")
	flags.StringVar(&f.until, "until", "", "only events before this `time`, and those that have to come behind them")
	flags.StringSliceVar(&f.payments, "payment", nil, "only this payment `id`; may be repeated")
	flags.BoolVar(&f.options.All, "all", false, "send again what the bus holds, too")
	flags.BoolVar(&f.options.DryRun, "dry-run", false, "only count")
	return cmd
}

func (f *republishFlags) complete(c *cli) error {
	var err error
	if f.options.Since, err = parseMoment("since", f.since, c.now()); err != nil {
		return err
	}
	if f.options.Until, err = parseMoment("until", f.until, c.now()); err != nil {
		return err
	}
	f.options.Payments = make([]uuid.UUID, len(f.payments))
	for i, text := range f.payments {
		if f.options.Payments[i], err = messages.ParsePaymentID(text); err != nil {
			return err
		}
	}
	if f.options.All && f.since == "" && len(f.payments) == 0 {
		return usageError("--all sends again what the bus holds: say from when with --since, or which with --payment")
	}
	return nil
}

func (c *cli) republish(ctx context.Context, pool *pgxpool.Pool, b *link, o republish.Options) error {
	onTerminal := !c.quiet && fancy(c.stderr, c.environ)
	if onTerminal {
		o.Progress = func(r republish.Report) {
			fmt.Fprintf(c.stderr, "\r%d payments compared, %d events missing, %d queued\x1b[K", r.Payments, r.Missing, r.Queued)
		}
	}
	report, err := republish.Run(ctx, republish.Parts{
		DB: pool, JetStream: b.js,
		Backlog: func(ctx context.Context) (int64, bool, error) { return outbox.Backlog(ctx, pool) },
	}, o)
	if onTerminal {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
	if err != nil {
		if report.Queued > 0 {
			c.remark("%d events were queued before; running it again goes on", report.Queued)
		}
		return err
	}
	if c.json {
		err = c.printJSON(report)
	} else {
		err = c.showRepublished(report, o)
	}
	if err == nil && (len(report.Left) > 0 || report.NotInStore > 0) {
		return sayNo()
	}
	return err
}

func (c *cli) showRepublished(r republish.Report, o republish.Options) error {
	queued := "queued"
	if o.DryRun {
		queued = "would queue"
	}
	f := newFacts(c.stdout)
	f.add("payments", fmt.Sprint(r.Payments))
	f.add("behind", fmt.Sprint(r.Behind))
	f.add("missing", fmt.Sprintf("%d events", r.Missing))
	f.add(queued, fmt.Sprintf("%d events", r.Queued))
	for _, reason := range slices.Sorted(maps.Keys(r.Left)) {
		f.add("left", fmt.Sprintf("%d payments: %s", r.Left[reason], reason))
	}
	if r.NotInStore > 0 {
		f.add("not in store", fmt.Sprintf("%d messages on the bus", r.NotInStore))
	}
	if err := f.flush(); err != nil || len(r.LeftPayments) == 0 {
		return err
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout, "LEFT", "REASON")
	for _, l := range r.LeftPayments {
		t.row(l.PaymentID.String(), string(l.Reason))
	}
	return t.flush()
}
