package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/checkpoint"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// verify is `tender verify`.
type verify struct {
	*term.Env
	options books.CheckOptions
	// bus asks for the comparison with the stream of events.
	bus bool
	// ledgers are the addresses of simulators by the names of their gateways.
	ledgers map[string]string
	resume  string
}

func newVerify(e *term.Env) *cobra.Command {
	c := &verify{Env: e}
	cmd := &cobra.Command{
		Use:   "verify [PAYMENT...]",
		Short: "Check the invariants of the database; exit code 1 if one fails",
		Long: `Verify reads every payment and its history. It checks that versions are contiguous, that
the history gives the state, that money moved only within its limits, that no work is
stuck, and more; the report names each check. It may run while payments are processed:
it reads in short transactions, each of which sees everything that belongs together. It
changes nothing.

With --resume it keeps its progress in a file. After a signal or the loss of PostgreSQL,
a run with the same file continues from there; its report then says that it covers
several snapshots. A run that completes removes the file.

With payments named, verify checks only those, and shows the history of a faulty one
event by event. It looks for them in every table: in events, timers, idempotency keys and
the outbox.

If NATS answers, verify compares the checkpoints with those on the bus. --bus also
compares the whole stream of events with the history, both ways. --ledger compares the
recorded operations with the ledger of a simulator; name every gateway that moved money.
With --bus, the commands that the stream still holds are held against the claims and the
dead letters, too. With payments named, --bus and --ledger compare those.
A difference of an operation in review is shown on standard error and is no finding.`,
		Example: `  tender verify
  tender verify --resume verify.progress      # after an interruption: the same again
  tender verify 0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10
  tender verify --bus
  tender verify --ledger primary=http://127.0.0.1:8585 --ledger second=http://127.0.0.1:8586
  tender verify --json | jq '.findings[].payment_id'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(cmd, args); err != nil {
				return err
			}
			payments, err := paymentIDs(args)
			if err != nil {
				return err
			}
			return app.WithDatabase(cmd.Context(), c.Env, func(pool *pgxpool.Pool) error {
				if len(payments) > 0 {
					return c.runPayments(cmd.Context(), pool, payments)
				}
				return c.run(cmd.Context(), pool)
			})
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&c.options.Workers, "workers", 0, "connections that read at once, beside one; less than\npostgres.max_conns\n(default: one for each CPU, at least 2)")
	flags.IntVar(&c.options.FindingsMax, "findings", 100, "maximum of findings to show; all are counted")
	flags.DurationVar(&c.options.StaleAfter, "stale-after", 15*time.Minute, "age from which waiting work counts as stuck")
	flags.BoolVar(&c.bus, "bus", false, "also compare the stream of events with the history; reads all of it")
	flags.StringToStringVar(&c.ledgers, "ledger", nil, "compare with the ledger of a simulator: `gateway=URL`; may be repeated")
	flags.Lookup("ledger").DefValue = "" // pflag would show "[]"
	flags.StringVar(&c.resume, "resume", "", "keep progress in this `file`, and continue from it")
	return cmd
}

func (c *verify) check(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed("workers") && c.options.Workers < 1 || c.options.FindingsMax < 1 || c.options.StaleAfter <= 0 {
		return term.UsageError("--workers, --findings and --stale-after must be greater than zero")
	}
	if len(args) > 0 && c.resume != "" {
		return term.UsageError("--resume is for a check of all payments")
	}
	return nil
}

// paymentIDs reads the payments that a command line names, each once.
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

// verifyResult is the result of verify, for programs.
type verifyResult struct {
	OK bool `json:"ok"`
	books.Report
}

func (c *verify) run(ctx context.Context, pool *pgxpool.Pool) error {
	o := c.options
	if most := int(pool.Config().MaxConns) - 1; o.Workers > most {
		return term.UsageError("--workers must be less than postgres.max_conns: at most %d", most)
	}
	file := progressFile(c.resume)
	var err error
	if o.Resume, err = file.read(); err != nil {
		return err
	}
	if o.Resume != nil {
		c.Remark("continuing from %s: %d payments were checked before", c.resume, o.Resume.Report.Payments)
	}
	o.Save = file.write
	shown := c.NewMeter()
	o.Progress = shown.Update
	report, err := books.CheckInvariants(ctx, pool, o)
	if err == nil {
		// From here on there is nothing to continue: what is compared with others is the database
		// of now.
		err = errors.Join(file.remove(), c.compareOthers(ctx, pool, o, &report))
	}
	shown.Clear()
	if err != nil {
		return c.explainInterrupted(err)
	}
	c.compareCheckpoints(ctx, pool, &report)
	if c.JSON {
		err = c.PrintJSON(verifyResult{report.Clean(), report})
	} else {
		err = c.showReport(report)
	}
	if err != nil {
		return err
	}
	if !report.Clean() {
		return term.SayNo()
	}
	return nil
}

// explainInterrupted tells the user how to continue an interrupted check.
func (c *verify) explainInterrupted(err error) error {
	switch {
	case errors.Is(err, books.ErrOtherCheck):
		return term.UsageError("%s: %w; remove the file to start again", c.resume, err)
	case !errors.Is(err, context.Canceled) && !store.Retryable(err):
		return err
	case c.resume == "":
		c.Remark("interrupted; with --resume FILE a check can continue after an interruption")
	default:
		fmt.Fprintf(c.Stderr, "interrupted; to continue: tender verify --resume %s\n", c.resume)
	}
	return err
}

func (c *verify) showReport(r books.Report) error {
	t := term.NewTable(c.Stdout, "INVARIANT", "CHECKED", "VIOLATED")
	var violations int64
	names := maps.Clone(r.Checked)
	maps.Copy(names, r.Violated)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t.Row(string(name), fmt.Sprint(r.Checked[name]), fmt.Sprint(r.Violated[name]))
		violations += r.Violated[name]
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := c.showFindings(r.Findings); err != nil {
		return err
	}
	if n := len(r.Snapshots); n > 1 {
		fmt.Fprintf(c.Stdout, "\nput together from %d snapshots between %s and %s: changes in between may have been missed\n",
			n, term.Moment(r.Snapshots[0]), term.Moment(r.Snapshots[n-1]))
	}
	result := "everything holds"
	if violations > 0 {
		result = fmt.Sprintf("violations: %d", violations)
	}
	_, err := fmt.Fprintf(c.Stdout, "\n%d payments with %d events, %d idempotency keys, %d outbox rows: %s\n",
		r.Payments, r.Events, r.Claims, r.OutboxRows, result)
	return err
}

func (c *verify) showFindings(findings []books.Finding) error {
	if len(findings) == 0 {
		return nil
	}
	fmt.Fprintln(c.Stdout)
	found := term.NewTable(c.Stdout, "PAYMENT", "INVARIANT", "FINDING")
	for _, f := range findings {
		found.Row(f.PaymentID.String(), string(f.Invariant), f.Detail)
	}
	return found.Flush()
}

// compareCheckpoints compares the checkpoints with their copies on the bus. A bus that does not
// answer is no failure of the check: verify says so and does without.
func (c *verify) compareCheckpoints(ctx context.Context, pool *pgxpool.Pool, report *books.Report) {
	var compared checkpoint.Comparison
	err := app.WithBus(c.Env, func(b *app.Bus) (err error) {
		compared, err = checkpoint.Compare(ctx, b.JS, pool)
		return err
	})
	if err != nil {
		c.Remark("the checkpoints were not compared with those on the bus: %v", err)
		return
	}
	report.Add(books.CheckpointsPublished, compared.Compared, compared.Findings...)
}

// compareOthers compares the database with the bus and with gateways, of all payments or of those
// that are named, and adds the findings to the report.
func (c *verify) compareOthers(
	ctx context.Context, pool *pgxpool.Pool, o books.CheckOptions, report *books.Report, payments ...uuid.UUID,
) error {
	if c.bus {
		compared, err := c.compareBus(ctx, pool, o, payments)
		if err != nil {
			return err
		}
		compared.AddTo(report, o.FindingsMax)
	}
	if len(c.ledgers) > 0 {
		fetch, err := c.fetcher()
		if err != nil {
			return err
		}
		compared, err := audit.Gateways(ctx, pool, fetch, audit.GatewayOptions{
			FindingsMax: o.FindingsMax, ReversalsBefore: report.At.Add(-o.StaleAfter), Payments: payments,
		})
		if err != nil {
			return err
		}
		compared.AddTo(report, o.FindingsMax)
		if compared.Awaited > 0 {
			c.Remark("%d operations were reversed within the last %s at their gateways, which is not recorded yet: verify again after that",
				compared.Awaited, o.StaleAfter)
		}
		c.remarkExcused(compared)
	}
	return nil
}

// remarkExcused lists the differences of operations in review. They are no findings: a person looks
// at them.
func (c *verify) remarkExcused(compared audit.GatewayReport) {
	for _, f := range compared.Excused {
		c.Remark("payment %s is in review, and differs from the gateways: %s: %s", f.PaymentID, f.Invariant, f.Detail)
	}
	if more := compared.Differences - int64(len(compared.Excused)); more > 0 {
		c.Remark("%d more differences of payments in review", more)
	}
}

// compareBus compares the events, and the commands.
func (c *verify) compareBus(
	ctx context.Context, pool *pgxpool.Pool, o books.CheckOptions, payments []uuid.UUID,
) (compared audit.Report, err error) {
	options := audit.BusOptions{Workers: o.Workers, FindingsMax: o.FindingsMax, Payments: payments}
	if o.Progress != nil {
		options.Progress = func(done, total int64) {
			o.Progress(books.Progress{Pass: "bus", Unit: "messages", Done: done, Total: total})
		}
	}
	err = app.WithBus(c.Env, func(b *app.Bus) error {
		events, err := audit.Bus(ctx, pool, b.JS, options)
		if err != nil {
			return err
		}
		commands, err := audit.Commands(ctx, pool, b.JS, o.FindingsMax, payments...)
		if err != nil {
			return err
		}
		compared = events.Report
		compared.Merge(&commands, o.FindingsMax)
		return nil
	})
	return compared, err
}

// fetcher returns a function that reads the ledgers.
func (c *verify) fetcher() (audit.Ledgers, error) {
	for name, address := range c.ledgers {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, term.UsageError("--ledger %s: %q is not an http:// or https:// address", name, address)
		}
	}
	return func(ctx context.Context) (map[string]audit.Ledger, error) {
		found := make(map[string]audit.Ledger, len(c.ledgers))
		for name, address := range c.ledgers {
			ledger, err := audit.FetchLedger(ctx, http.DefaultClient, address)
			if err != nil {
				return nil, err
			}
			found[name] = ledger
		}
		return found, nil
	}, nil
}

// progressFile keeps the progress of a check; "" keeps none.
type progressFile string

// read returns the progress of an interrupted check, nil if there is none.
func (f progressFile) read() (*books.CheckState, error) {
	if f == "" {
		return nil, nil //nolint:nilnil // a check from the beginning is no error
	}
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, term.UsageError("read progress: %w", err)
	}
	var state books.CheckState
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, term.UsageError("%s does not hold the progress of a check: %w", string(f), err)
	}
	return &state, nil
}

// write replaces the file as a whole: a crash leaves either the old or the new one.
func (f progressFile) write(state *books.CheckState) error {
	if f == "" {
		return nil
	}
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode progress: %w", err)
	}
	beside := string(f) + ".new"
	if err := os.WriteFile(beside, text, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, string(f))
}

func (f progressFile) remove() error {
	if f == "" {
		return nil
	}
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove progress: %w", err)
	}
	return nil
}
