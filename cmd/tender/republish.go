package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/republish"
)

// outboxRepublish is `tender outbox republish`.
type outboxRepublish struct {
	*term.Env
	since, until string
	payments     []string
	options      republish.Options
}

func newOutboxRepublish(e *term.Env) *cobra.Command {
	c := &outboxRepublish{Env: e}
	cmd := &cobra.Command{
		Use:   "republish",
		Short: "Publish again the events that the bus has lost",
		Long: `Republish compares the history of payments with the stream PAYMENTS_EVT and puts missing
events into the outbox, from which the relays publish them: with their own message ids
and bodies, in order of version for each payment. Events of a payment that are newer than
a missing one follow once more behind it. Events that the stream dropped by age are not
missing.

The best time is after the bus was restored and before the relays start: then all events
arrive in order at once. Beside running relays, republish may have to leave a payment for
later because its newer events were published moments ago (recent) or are about to be
(in_flight); exit code 1 means that some were left. Run it again after the stream's
duplicates window. It may be interrupted and repeated at any time: events that are on the
bus by then, or on their way, are not sent twice.

--since and --until narrow it to payments with events of a time, --payment to some
payments. --all sends their events again even where the bus holds them, and needs --since
or --payment.`,
		Example: `  tender outbox republish --dry-run
  tender outbox republish
  tender outbox republish --since 2026-03-01T11:00:00Z --until 2026-03-01T12:00:00Z --json
  tender outbox republish --all --payment 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.complete(); err != nil {
				return err
			}
			return app.WithDatabase(cmd.Context(), c.Env, func(pool *pgxpool.Pool) error {
				return app.WithBus(c.Env, func(b *app.Bus) error { return c.run(cmd.Context(), pool, b) })
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.since, "since", "", "only events since this `time`: RFC 3339, a date, or an age (24h)")
	flags.StringVar(&c.until, "until", "", "only events before this `time`, and those that must follow them")
	flags.StringSliceVar(&c.payments, "payment", nil, "only this payment `id`; may be repeated")
	flags.BoolVar(&c.options.All, "all", false, "also send events that the bus holds")
	flags.BoolVar(&c.options.DryRun, "dry-run", false, "only count")
	return cmd
}

func (c *outboxRepublish) complete() error {
	var err error
	if c.options.Since, err = parseMoment("since", c.since, c.Now()); err != nil {
		return err
	}
	if c.options.Until, err = parseMoment("until", c.until, c.Now()); err != nil {
		return err
	}
	c.options.Payments = make([]uuid.UUID, len(c.payments))
	for i, text := range c.payments {
		if c.options.Payments[i], err = messages.ParsePaymentID(text); err != nil {
			return err
		}
	}
	if c.options.All && c.since == "" && len(c.payments) == 0 {
		return term.UsageError("--all sends events that the bus holds: narrow it with --since or --payment")
	}
	return nil
}

func (c *outboxRepublish) run(ctx context.Context, pool *pgxpool.Pool, b *app.Bus) error {
	o := c.options
	onTerminal := !c.Quiet && term.IsTerminal(c.Stderr, c.Environ)
	if onTerminal {
		o.Progress = func(r republish.Report) {
			fmt.Fprintf(c.Stderr, "\r%d payments compared, %d events missing, %d queued\x1b[K", r.Payments, r.Missing, r.Queued)
		}
	}
	report, err := republish.Run(ctx, republish.Parts{
		DB: pool, JetStream: b.JS,
		Backlog: func(ctx context.Context) (int64, bool, error) { return outbox.Backlog(ctx, pool) },
	}, o)
	if onTerminal {
		fmt.Fprint(c.Stderr, "\r\x1b[K")
	}
	if err != nil {
		if report.Queued > 0 {
			c.Remark("%d events were queued before; run it again to continue", report.Queued)
		}
		return err
	}
	if c.JSON {
		err = c.PrintJSON(report)
	} else {
		err = c.show(report)
	}
	if err == nil && (len(report.Left) > 0 || report.NotInStore > 0) {
		return term.SayNo()
	}
	return err
}

func (c *outboxRepublish) show(r republish.Report) error {
	queued := "queued"
	if c.options.DryRun {
		queued = "would queue"
	}
	f := term.NewFacts(c.Stdout)
	f.Add("payments", fmt.Sprint(r.Payments))
	f.Add("behind", fmt.Sprint(r.Behind))
	f.Add("missing", fmt.Sprintf("%d events", r.Missing))
	f.Add(queued, fmt.Sprintf("%d events", r.Queued))
	for _, reason := range slices.Sorted(maps.Keys(r.Left)) {
		f.Add("left", fmt.Sprintf("%d payments: %s", r.Left[reason], reason))
	}
	if r.NotInStore > 0 {
		f.Add("not in store", fmt.Sprintf("%d messages on the bus", r.NotInStore))
	}
	if err := f.Flush(); err != nil || len(r.LeftPayments) == 0 {
		return err
	}
	fmt.Fprintln(c.Stdout)
	t := term.NewTable(c.Stdout, "LEFT", "REASON")
	for _, l := range r.LeftPayments {
		t.Row(l.PaymentID.String(), string(l.Reason))
	}
	return t.Flush()
}
