package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// verifyFlags are those of verify.
type verifyFlags struct {
	options books.CheckOptions
	others  otherBooks
	resume  string
}

func newVerify(c *cli) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [PAYMENT...]",
		Short: "Check on the database what must always hold; exit code 1 if anything is off",
		Long: `Verify reads every payment and its history and checks that versions are contiguous, that the history gives the state, that
no money was moved beyond its limits, that nothing is stuck, and more; the report names each check. It may run while payments are
processed: it sees one moment. It changes nothing.

With --resume, progress is kept in a file. A run that was interrupted, by a signal or by the loss of PostgreSQL, goes on from there
when it is given the same file; its report then says that it was put together from several moments. A run that comes to its
end removes the file.

With payments named, only these are checked, and the history of one that is off is shown event by event. They are looked for wherever
something of them may be left: in events, timers, idempotency keys and the outbox.

Where NATS can be reached, the checkpoints are held against those on the bus. With --bus the whole stream of events is compared
with the history, too, both ways. With --ledger what is recorded is compared with what a simulator says that it did; all gateways that
moved money have to be named.`,
		Example: `  tender verify
  tender verify --resume verify.progress                     # after an interruption: the same again
  tender verify 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender verify --bus
  tender verify --ledger primary=http://127.0.0.1:8585 --ledger second=http://127.0.0.1:8586
  tender verify --json | jq '.findings[].payment_id'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return err
			}
			payments, err := paymentIDs(args)
			if err != nil {
				return err
			}
			return c.withDatabase(cmd.Context(), func(pool *pgxpool.Pool) error {
				if len(payments) > 0 {
					return c.verifyPayments(cmd.Context(), pool, payments, f.options)
				}
				return c.verify(cmd.Context(), pool, f)
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.options.Workers, "workers", 0, "connections that read at once, beside one; less than postgres.max_conns (default: as many as CPUs, 2 at least)")
	flags.IntVar(&f.options.FindingsMax, "findings", 100, "findings to show at most; all are counted")
	flags.DurationVar(&f.options.StaleAfter, "stale-after", 15*time.Minute, "age from which what waits counts as stuck")
	f.others.bind(flags)
	flags.StringVar(&f.resume, "resume", "", "keep progress in this `file`, and go on where it says")
	return cmd
}

func (f *verifyFlags) check(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed("workers") && f.options.Workers < 1 || f.options.FindingsMax < 1 || f.options.StaleAfter <= 0 {
		return usageError("--workers, --findings and --stale-after must be greater than zero")
	}
	if len(args) > 0 && f.resume != "" {
		return usageError("--resume is for a check of all payments")
	}
	return nil
}

// paymentIDs reads the payments that a command line names.
func paymentIDs(args []string) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, 0, len(args))
	for _, arg := range args {
		id, err := messages.ParsePaymentID(arg)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// verdict is the result of verify, for programs.
type verdict struct {
	OK bool `json:"ok"`
	books.Report
}

func (c *cli) verify(ctx context.Context, pool *pgxpool.Pool, f verifyFlags) error {
	o := f.options
	if most := int(pool.Config().MaxConns) - 1; o.Workers > most {
		return usageError("--workers must be less than postgres.max_conns: at most %d", most)
	}
	file := progressFile(f.resume)
	var err error
	if o.Resume, err = file.read(); err != nil {
		return err
	}
	if o.Resume != nil {
		c.remark("going on from %s: %d payments were checked before", f.resume, o.Resume.Report.Payments)
	}
	o.Save = file.write
	shown := c.newMeter()
	o.Progress = shown.update
	report, err := books.CheckInvariants(ctx, pool, o)
	if err == nil {
		err = c.compareOthers(ctx, pool, f.others, o, &report)
	}
	shown.clear()
	if err != nil {
		return c.explainInterrupted(err, f.resume)
	}
	c.compareCheckpoints(ctx, pool, &report)
	if c.json {
		err = c.printJSON(verdict{report.Clean(), report})
	} else {
		err = c.showReport(report)
	}
	if err != nil {
		return err
	}
	if err := file.remove(); err != nil {
		return err
	}
	if !report.Clean() {
		return sayNo()
	}
	return nil
}

// explainInterrupted says how to go on with a check that was cut short.
func (c *cli) explainInterrupted(err error, file string) error {
	switch {
	case errors.Is(err, books.ErrOtherCheck):
		return usageError("%s: %w; remove the file to begin anew", file, err)
	case !errors.Is(err, context.Canceled) && !store.Retryable(err):
		return err
	case file == "":
		c.remark("interrupted; with --resume FILE a check can go on where it was interrupted")
	default:
		fmt.Fprintf(c.stderr, "interrupted; to go on: tender verify --resume %s\n", file)
	}
	return err
}

func (c *cli) showReport(r books.Report) error {
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
	if err := c.showFindings(r.Findings); err != nil {
		return err
	}
	if n := len(r.Snapshots); n > 1 {
		fmt.Fprintf(c.stdout, "\nput together from %d moments between %s and %s: what changed in between may have been missed\n",
			n, moment(r.Snapshots[0]), moment(r.Snapshots[n-1]))
	}
	result := "everything holds"
	if violations > 0 {
		result = fmt.Sprintf("violations: %d", violations)
	}
	_, err := fmt.Fprintf(c.stdout, "\n%d payments with %d events, %d idempotency keys, %d outbox rows: %s\n",
		r.Payments, r.Events, r.Claims, r.OutboxRows, result)
	return err
}

func (c *cli) showFindings(findings []books.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	found := newTable(c.stdout, "PAYMENT", "INVARIANT", "FINDING")
	for _, f := range findings {
		found.row(f.PaymentID.String(), string(f.Invariant), f.Detail)
	}
	return found.flush()
}
