package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	quick    bool
	only     []string
	payments int
	preload  int
	plot     string
	profile  string
	keys     bool
}

// benchmark is `tenderlab bench`: one run of it.
type benchmark struct {
	*term.Env
	flags   benchFlags
	plan    benchPlan
	cfg     config.Config
	program string
	dir     string
	stages  int
	// published and stored count the events of a payment that go onto the bus and into the store.
	published, stored int
	// postgres is the benchmark's own server, nil if --postgres names one. The addresses are those
	// in use.
	postgres    *servers.Postgres
	postgresURL string
	natsURL     string
	// postmaster is the first process of the benchmark's own server, 0 until it is known.
	postmaster int
	report     bench.Report
}

func newBench(e *term.Env) *cobra.Command {
	b := &benchmark{Env: e, plan: fullPlan()}
	f := &b.flags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput and latency against what the database allows",
		Long:  benchText(),
		Example: `  tenderlab bench --quick
  tenderlab bench --plot latency.svg --json > bench.json
  tenderlab bench --only floor,throughput --payments 200000
  TENDER_STORE_COMMITTERS=4 tenderlab bench --only floor,throughput
  tenderlab bench --only throughput --profile slow && go tool pprof -top slow.throughput.cpu.pprof`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.keys {
				return showBenchKeys(e)
			}
			if err := f.check(); err != nil {
				return err
			}
			return b.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.quick, "quick", false, "few payments: a first impression in less than a minute")
	flags.StringSliceVar(&f.only, "only", nil, "measure only these: `list` of the names above")
	flags.IntVar(&f.payments, "payments", 0, "payments in the run of throughput; the other runs in proportion\n(default 100000, 8000 with --quick)")
	flags.IntVar(&f.preload, "preload", 0, "also measure with a store that holds this many `events`;\nten million take several minutes to write")
	flags.StringVar(&f.plot, "plot", "", "draw the latencies into this `file`, as SVG")
	flags.StringVar(&f.profile, "profile", "", "profile the first worker of each run into the files\n`prefix`.<run>.cpu.pprof and prefix.<run>.alloc.pprof")
	flags.BoolVar(&f.keys, "keys", false, "list the keys of --json, and measure nothing")
	return cmd
}

func benchText() string {
	var b strings.Builder
	b.WriteString(`Bench measures the number of payments a second that complete — command, decision,
gateway, events on the stream — and the time that one takes. It compares both with the
floor: the same rows, bytes and indexes, written into the same PostgreSQL by the same
number of connections in plain batches, without a bus and without logic. NATS, PostgreSQL
and the workers are separate processes, as in production; the gateway is inside the
workers. The measurements run one after the other, each on a new database and new
streams:

`)
	for _, part := range benchParts() {
		fmt.Fprintf(&b, "  %-11s %s\n", part.name, part.about)
	}
	b.WriteString(` Bench starts its own PostgreSQL and NATS servers, with all data on disk and a flush for
every commit, and leaves nothing behind. With --postgres it makes its databases on that
server, which needs the right to; with --nats it makes its streams on that server, which
must have none, and deletes them at the end. --config and the environment configure the
workers as they configure tender serve, except for addresses, gateways and, with slow
gateways, slots.

After every run it checks the books as tender verify --bus --ledger does. Exit code 1 if a check
fails.`)
	return b.String()
}

func (f *benchFlags) check() error {
	for _, name := range f.only {
		if !slices.ContainsFunc(benchParts(), func(p benchPart) bool { return p.name == name }) {
			return term.UsageError("--only %s: there is nothing of that name to measure, see tenderlab bench --help", name)
		}
	}
	if f.payments < 0 || f.preload < 0 {
		return term.UsageError("--payments and --preload must not be negative")
	}
	return nil
}

// run measures, shows the report, and says no if the books are not clean.
func (b *benchmark) run(ctx context.Context) (err error) {
	b.natsURL, b.postgresURL = b.NATSURL, b.PostgresURL
	if b.flags.quick {
		b.plan = quickPlan()
	}
	b.plan = b.plan.scaled(b.flags.payments)
	if b.program, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if b.dir, err = os.MkdirTemp("", "tender-bench-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	printer := &benchPrinter{Env: b.Env, plot: b.flags.plot, report: &b.report}
	if err := printer.show(); err != nil {
		return err
	}
	if !b.report.Clean {
		return term.SayNo()
	}
	return nil
}

// prepare reads the machine and the settings, and starts PostgreSQL.
func (b *benchmark) prepare(ctx context.Context) (err error) {
	if b.published, b.stored, err = bench.PublishedPerPayment(ctx); err != nil {
		return err
	}
	if b.cfg, err = config.Load(b.ConfigFile, b.Environ); err != nil {
		return err
	}
	b.report = bench.Report{
		At: b.Now().UTC(), Version: term.ThisBuild().Version, Quick: b.flags.quick,
		Settings: bench.Settings{
			SlotsMax: b.cfg.Worker.SlotsMax, Committers: b.cfg.Store.Committers, BatchMax: b.cfg.Store.BatchMax,
			RelayBatch: b.cfg.Outbox.BatchMax, Connections: b.cfg.Postgres.MaxConns, OwnServers: b.postgresURL == "" && b.natsURL == "",
		},
	}
	if b.report.Machine, err = bench.ThisMachine(b.dir, b.Now); err != nil {
		return err
	}
	if b.postgresURL != "" {
		return nil
	}
	starting, cancel := context.WithTimeout(ctx, sandboxStartTimeout)
	defer cancel()
	b.postgres, err = servers.StartPostgres(starting, servers.PostgresOptions{Durable: true, Settings: benchPostgres()})
	if err == nil {
		b.postgresURL = b.postgres.URL("postgres")
	}
	return err
}

// benchPostgres are the settings of deployments/postgres that affect a benchmark.
func benchPostgres() map[string]string {
	return map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "8GB", "min_wal_size": "1GB", "checkpoint_timeout": "15min", "wal_compression": "on",
		"random_page_cost": "1.1", "autovacuum_naptime": "10s", "autovacuum_vacuum_cost_limit": "2000",
	}
}

// measure runs one part after the other.
func (b *benchmark) measure(ctx context.Context) error {
	for _, part := range benchParts() {
		if len(b.flags.only) > 0 && !slices.Contains(b.flags.only, part.name) {
			continue
		}
		if part.ownNATS && b.natsURL != "" {
			b.Remark("%s is left out: it needs the benchmark's own NATS server", part.name)
			continue
		}
		if err := part.measure(b, ctx); err != nil {
			return err
		}
	}
	b.report.Seconds = b.Now().Sub(b.report.At).Seconds()
	b.report.Finish()
	return nil
}

// profileOf is the prefix of the profiles of a run, "" for none.
func (b *benchmark) profileOf(run string) string {
	if b.flags.profile == "" {
		return ""
	}
	prefix, err := filepath.Abs(b.flags.profile)
	if err != nil {
		return ""
	}
	return prefix + "." + run
}

func (b *benchmark) close() error {
	var errs []error
	if b.postgres != nil {
		errs = append(errs, b.postgres.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// milliseconds formats a latency for people.
func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	default:
		return fmt.Sprintf("%.1fms", ms)
	}
}

// benchPlan holds the size of each measurement.
type benchPlan struct {
	floor, payments, slow, mixed, scale int // payments
	// latencyFor is the time for each rate. rates are the fixed ones; half of the maximum is
	// measured as well.
	latencyFor time.Duration
	rates      []float64
	backlog    int // commands
	backlogFor time.Duration
}

// quickPlan takes less than a minute, fullPlan less than ten, on two cores.
func quickPlan() benchPlan {
	return benchPlan{
		floor: 6_000, payments: 8_000, slow: 1_000, mixed: 500, scale: 1_500,
		latencyFor: 1500 * time.Millisecond, rates: []float64{100, 1000},
		backlog: 20_000, backlogFor: 1500 * time.Millisecond,
	}
}

func fullPlan() benchPlan {
	return benchPlan{
		floor: 80_000, payments: 100_000, slow: 60_000, mixed: 10_000, scale: 50_000,
		latencyFor: 15 * time.Second, rates: []float64{100, 1000},
		backlog: 1_000_000, backlogFor: 20 * time.Second,
	}
}

// scaled returns the plan with this number of payments in the run of throughput, and the rest in
// proportion.
func (p benchPlan) scaled(payments int) benchPlan {
	if payments == 0 {
		return p
	}
	of := func(n int) int { return max(1, n*payments/p.payments) }
	p.floor, p.slow, p.mixed, p.scale, p.backlog = of(p.floor), of(p.slow), of(p.mixed), of(p.scale), of(p.backlog)
	p.latencyFor = max(shortestMeasurement, p.latencyFor*time.Duration(payments)/time.Duration(p.payments))
	p.backlogFor = max(shortestMeasurement, p.backlogFor*time.Duration(payments)/time.Duration(p.payments))
	p.payments = payments
	return p
}

// shortestMeasurement is the shortest time of a measurement.
const shortestMeasurement = 250 * time.Millisecond

// benchPart is one measurement.
type benchPart struct {
	name, about string
	measure     func(*benchmark, context.Context) error
	// ownNATS says that it needs the benchmark's own NATS server.
	ownNATS bool
}

func benchParts() []benchPart {
	return []benchPart{
		{"floor", "the rate at which PostgreSQL takes the same rows in plain batches", (*benchmark).measureFloor, false},
		{"throughput", "creates with automatic capture against a gateway that answers at once", runsOf(func(b *benchmark) []benchRun {
			return []benchRun{{name: bench.RunThroughput, payments: b.plan.payments}}
		}), false},
		{"sync", "the same with sync_interval: always on NATS", runsOf(func(b *benchmark) []benchRun {
			return []benchRun{{name: bench.RunSyncAlways, payments: b.plan.payments, syncAlways: true}}
		}), true},
		{"gateway", "the same with slow gateways", runsOf(slowGateways), false},
		{"mixed", "create, capture and refund, 5 % declined, 1 % without an answer", runsOf(func(b *benchmark) []benchRun {
			return []benchRun{{name: "mixed", payments: b.plan.mixed, mixed: true, gateway: bench.GatewayConfig{Declined: 50, Unknown: 10}}}
		}), false},
		{"latency", "from the producer's publish to the event's arrival, at fixed rates", (*benchmark).measureLatency, false},
		{"scale", "the same payments with 1, 2 and 4 processes", runsOf(scaledRuns), false},
		{"backlog", "many more commands than the workers can process in the time", runsOf(func(b *benchmark) []benchRun {
			return []benchRun{{name: "backlog", payments: b.plan.backlog, within: b.plan.backlogFor}}
		}), false},
		{"preload", "the same with a store that is not empty; see --preload", runsOf(func(b *benchmark) []benchRun {
			if b.flags.preload == 0 {
				return nil
			}
			return []benchRun{{name: bench.RunPreload, payments: b.plan.payments, preload: b.flags.preload}}
		}), false},
	}
}

// slowGateways are runs that need many commands in progress at once.
func slowGateways(b *benchmark) []benchRun {
	var all []benchRun
	for _, g := range []struct {
		name string
		bench.GatewayConfig
	}{
		{"gateway_50ms", bench.GatewayConfig{Latency: 50 * time.Millisecond}},
		{"gateway_200ms", bench.GatewayConfig{Latency: 200 * time.Millisecond}},
		{"gateway_tail", bench.GatewayConfig{Latency: 50 * time.Millisecond, Tail: 2 * time.Second}},
	} {
		all = append(all, benchRun{name: g.name, payments: b.plan.slow, gateway: g.GatewayConfig, slotsMax: benchSlotsSlow})
	}
	return all
}

// benchSlotsSlow suffices for some thousand payments a second with gateways that take up to a
// second.
const benchSlotsSlow = 8192

func scaledRuns(b *benchmark) []benchRun {
	var all []benchRun
	for _, n := range []int{1, 2, 4} {
		all = append(all, benchRun{name: fmt.Sprint("processes_", n), processes: n, payments: b.plan.scale})
	}
	return all
}

// runsOf measures the throughput of several runs.
func runsOf(which func(*benchmark) []benchRun) func(*benchmark, context.Context) error {
	return func(b *benchmark, ctx context.Context) error {
		for _, r := range which(b) {
			b.Remark("%s: %d payments, the gateway answers %s", r.name, r.payments, r.gateway)
			found, err := b.throughput(ctx, r)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			b.Remark("  %.0f payments/s", found.PerSecond)
			b.report.Runs = append(b.report.Runs, found)
		}
		return nil
	}
}

func (b *benchmark) measureFloor(ctx context.Context) error {
	b.Remark("floor: %d payments", b.plan.floor)
	found, err := b.floor(ctx, b.plan.floor)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	b.Remark("  %.0f payments/s", found.PerSecond)
	b.report.Floor = &found
	return nil
}

func (b *benchmark) measureLatency(ctx context.Context) error {
	type point struct {
		name string
		rate float64
	}
	var points []point
	for _, rate := range b.plan.rates {
		points = append(points, point{fmt.Sprintf("%.0f/s", rate), rate})
	}
	if most := b.report.Run(bench.RunThroughput); most != nil {
		points = append(points, point{"half of the maximum", most.PerSecond / 2})
	}
	for _, p := range points {
		b.Remark("latency at %.0f/s", p.rate)
		found, err := b.latency(ctx, p.name, p.rate, b.plan.latencyFor)
		if err != nil {
			return fmt.Errorf("latency at %s: %w", p.name, err)
		}
		b.Remark("  p50 %.1f ms, p99 %.1f ms", found.P50, found.P99)
		b.report.Latencies = append(b.report.Latencies, found)
	}
	return nil
}
