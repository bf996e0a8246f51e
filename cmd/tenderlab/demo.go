package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// demoLogLines is the number of log lines that a failed demo shows.
const demoLogLines = 60

// demo is `tenderlab demo`.
type demo struct{ *term.Env }

func newDemo(e *term.Env) *cobra.Command {
	c := &demo{Env: e}
	return &cobra.Command{
		Use:   "demo",
		Short: "Run scripted payments, show them, check the books",
		Long: `Demo starts everything on free ports of this machine: NATS with JetStream, PostgreSQL,
three simulators as payment gateways behind HTTP, and two instances of every role. It
publishes real commands, watches the events on the bus, and shows the commands and the
outcome of each payment. In the middle a gateway goes down and comes back: its circuit
breaker opens, new payments fail over to the second gateway, and operations that only the
first can do are parked until it is back. At the end demo compares the gateways' ledgers
with the event store, and checks the invariants as tender verify does. It leaves nothing
behind.

Exit code 1 if a result is not as expected; the output names each.`,
		Example: `  tenderlab demo
  tenderlab demo --json | jq '.payments[] | {name, status, gateway}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseServers(e, "demo"); err != nil {
				return err
			}
			return c.run(cmd.Context(), demoScenarios())
		},
	}
}

// refuseServers refuses the flags that name servers, for a command that brings its own.
func refuseServers(e *term.Env, command string) error {
	if e.ConfigFile != "" || e.NATSURL != "" || e.PostgresURL != "" {
		return term.UsageError("tenderlab %s runs servers of its own: it takes no --config, --nats or --postgres", command)
	}
	return nil
}

// run plays the scenarios in a sandbox, shows the results, and says no if one is not as expected.
func (c *demo) run(ctx context.Context, scenarios []scenario) error {
	began, p := c.Now(), newProgress(c.Env)
	recent := &recentLines{max: demoLogLines}
	log := app.NewLog(recent, config.Log{Level: config.LogInfo, Format: config.LogConsole})
	report, err := perform(ctx, scenarios, log, p)
	if err != nil {
		return err
	}
	report.DurationMS = c.Now().Sub(began).Milliseconds()
	if err := c.show(report); err != nil {
		return err
	}
	if report.OK {
		return nil
	}
	if !c.Quiet {
		fmt.Fprintf(c.Stderr, "\nThe end of the log:\n")
		recent.show(c.Stderr)
	}
	return term.SayNo()
}

// show prints the report: as JSON, or as a table with the result of the books below it.
func (c *demo) show(r demoReport) error {
	if c.JSON {
		return c.PrintJSON(r)
	}
	yes, no := marks(c.Stdout, c.Environ)
	fmt.Fprintln(c.Stdout)
	printPayments(c.Stdout, r.Payments, yes, no)
	fmt.Fprintln(c.Stdout)
	printBooks(c.Stdout, r, yes, no)
	if r.OK {
		fmt.Fprint(c.Stdout, "\nNext: `tenderlab dev` keeps all this running to play with; README.md says how.\n")
	}
	return nil
}

// demoReport is the result of the demo.
type demoReport struct {
	// OK says that every result is as expected.
	OK         bool            `json:"ok"`
	DurationMS int64           `json:"duration_ms"`
	Payments   []paymentResult `json:"payments"`
	Gateways   []gatewayBooks  `json:"gateways"`
	// Outage is nil if no scenario has one.
	Outage *outageReport `json:"outage,omitempty"`
	// Verify is the result of `tender verify`.
	Verify books.Report `json:"verify"`
}

// gatewayBooks sums up a gateway's own ledger over all payments.
type gatewayBooks struct {
	Name    string `json:"name"`
	Calls   int    `json:"calls"`
	Effects int    `json:"effects"`
	// Twice counts operations that took effect more than once.
	Twice      int      `json:"operations_effected_twice"`
	Mismatches []string `json:"mismatches"`
}

// perform runs the scenarios in a sandbox and removes it.
func perform(ctx context.Context, scenarios []scenario, log *zap.Logger, p progress) (r demoReport, err error) {
	box, err := openSandbox(ctx, sandboxOptions{gateways: demoGateways(), tune: tuneDemo, step: p.done})
	if err != nil {
		return demoReport{}, err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	if err := setRules(ctx, box.config, demoRules); err != nil {
		return demoReport{}, err
	}
	err = box.runInstances(ctx, demoInstances, log, func(ctx context.Context) error {
		p.done("%d instances of worker, relay and scheduler, one with webhook", demoInstances)
		var err error
		r, err = performOn(ctx, box, scenarios, p)
		return err
	})
	if err == nil {
		p.done("drained")
	}
	return r, err
}

// performOn plays the scenarios as a producer and a consumer of the bus, waits until the work has
// come to rest, and inspects the results.
func performOn(ctx context.Context, box *sandbox, scenarios []scenario, p progress) (r demoReport, err error) {
	nc, err := app.DialNATS(box.config.NATS)
	if err != nil {
		return demoReport{}, err
	}
	defer nc.Close()
	on, err := newStage(ctx, nc)
	if err != nil {
		return demoReport{}, err
	}
	defer on.witness.stop()
	pool, err := app.DialPool(ctx, box.config.Postgres, box.config.NATS.Name)
	if err != nil {
		return demoReport{}, err
	}
	defer pool.Close()
	stories, err := cast(scenarios)
	if err != nil {
		return demoReport{}, err
	}
	down, err := newOutage(ctx, nc, box.simulators[0], p)
	if err != nil {
		return demoReport{}, err
	}
	defer func() { err = errors.Join(err, down.close()) }()

	if err := on.playActs(ctx, stories, down, p.follow(stories)); err != nil {
		return demoReport{}, err
	}
	if err := on.settle(ctx, pool); err != nil {
		return demoReport{}, err
	}
	if r, err = inspect(ctx, pool, on.witness, ledgersOf(box), stories); err != nil {
		return demoReport{}, err
	}
	if outside(stories) {
		if err := down.catchUp(ctx); err != nil {
			return demoReport{}, err
		}
		r.Outage = down.report(r.Payments)
		r.OK = r.OK && r.Outage.sound()
	}
	return r, nil
}

// ledger is the ledger of one gateway.
type ledger struct {
	gateway string
	sim.Snapshot
}

// ledgersOf reads the gateways' own ledgers.
func ledgersOf(s *sandbox) []ledger {
	var all []ledger
	for _, simulator := range s.simulators {
		all = append(all, ledger{simulator.name, simulator.Snapshot()})
	}
	return all
}

// inspect gathers the traces of every payment and compares them with the scenarios.
func inspect(ctx context.Context, pool *pgxpool.Pool, seen *witness, ledgers []ledger, stories []*story) (demoReport, error) {
	reader := store.New(pool, store.Config{}, zap.NewNop())
	defer reader.Close()
	var r demoReport
	for _, l := range ledgers {
		r.Gateways = append(r.Gateways, auditGateway(l, stories))
	}
	for _, told := range stories {
		found, err := gather(ctx, reader, seen, ledgers, told)
		if err != nil {
			return demoReport{}, err
		}
		r.Payments = append(r.Payments, examine(told, found))
	}
	var err error
	if r.Verify, err = books.CheckInvariants(ctx, pool, books.CheckOptions{}); err != nil {
		return demoReport{}, err
	}
	r.OK = r.asExpected() == len(r.Payments) && !slices.ContainsFunc(r.Gateways, gatewayBooks.unsound) && r.Verify.Clean()
	return r, nil
}

// asExpected counts the payments that came out as their scenarios expect.
func (r *demoReport) asExpected() int {
	n := 0
	for _, p := range r.Payments {
		if len(p.Mismatches) == 0 {
			n++
		}
	}
	return n
}

// gather collects the traces of one payment.
func gather(ctx context.Context, reader *store.Store, seen *witness, ledgers []ledger, told *story) (evidence, error) {
	found := evidence{bus: seen.of(told.paymentID), letters: map[uint64]buried{}, moved: map[string]sim.PaymentTotals{}}
	var err error
	if found.payment, err = reader.Get(ctx, demoTenant, told.paymentID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return evidence{}, err
	}
	if found.history, err = reader.History(ctx, demoTenant, told.paymentID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return evidence{}, err
	}
	for _, p := range told.played {
		if letter, dead := seen.letter(p.sequence); dead {
			found.letters[p.sequence] = letter
		}
	}
	for _, l := range ledgers {
		if totals, knows := l.Payment(told.paymentID); knows {
			found.moved[l.gateway] = totals
		}
		for _, op := range l.Operations {
			if op.PaymentID == told.paymentID {
				found.operations = append(found.operations, op)
			}
		}
	}
	return found, nil
}

// auditGateway sums up a gateway's books, and finds operations in them that no command asked for.
func auditGateway(l ledger, stories []*story) gatewayBooks {
	books := gatewayBooks{Name: l.gateway, Effects: len(l.Entries), Mismatches: []string{}}
	known := make(map[uuid.UUID]bool, len(stories))
	for _, told := range stories {
		known[told.paymentID] = true
	}
	for _, op := range l.Operations {
		books.Calls += op.Requests + op.Lookups
		if op.Effects > 1 {
			books.Twice++
		}
		if !known[op.PaymentID] {
			books.Mismatches = append(books.Mismatches, fmt.Sprintf("operation %s of the unknown payment %s", op.OperationID, op.PaymentID))
		}
	}
	return books
}

// unsound reports whether the gateway did an operation twice, or one that no command asked for.
func (b gatewayBooks) unsound() bool { return len(b.Mismatches) > 0 || b.Twice > 0 }
