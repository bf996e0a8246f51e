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

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// benchFlags are those of bench.
type benchFlags struct {
	quick    bool
	only     []string
	payments int
	preload  int
	plot     string
	profile  string
	keys     bool
}

// benchmark is one run of bench.
type benchmark struct {
	*cli
	flags   benchFlags
	plan    benchPlan
	cfg     config.Config
	program string
	dir     string
	stages  int
	// published and stored are how many events of a payment go onto the bus and into the store.
	published, stored int
	// postgres is a server of our own, nil if one was given; the addresses are those of any.
	postgres    *servers.Postgres
	postgresURL string
	natsURL     string
	// postmaster is the first process of our own server, 0 as long as it is not known.
	postmaster int
	report     bench.Report
}

func newBench(c *cli) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure throughput and latency against what the database allows",
		Long:  benchText(),
		Example: `  tender bench --quick
  tender bench --plot latency.svg --json > bench.json
  tender bench --only floor,throughput --payments 200000
  TENDER_STORE_COMMITTERS=4 tender bench --only floor,throughput
  tender bench --only throughput --profile slow && go tool pprof -top slow.throughput.cpu.pprof`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.keys {
				return c.showBenchKeys()
			}
			if err := f.check(); err != nil {
				return err
			}
			return c.bench(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.quick, "quick", false, "few payments: a first impression in less than a minute")
	flags.StringSliceVar(&f.only, "only", nil, "measure only these: `list` of the names above")
	flags.IntVar(&f.payments, "payments", 0, "payments in the run of throughput, and the rest in proportion (default 100000, 8000 with --quick)")
	flags.IntVar(&f.preload, "preload", 0, "measure with a store that holds this many `events`, too; ten million take several minutes to write")
	flags.StringVar(&f.plot, "plot", "", "draw the latencies into this `file`, as SVG")
	flags.StringVar(&f.profile, "profile", "", "profile the first worker of each run into files that begin with `prefix`: .<run>.cpu.pprof and .<run>.alloc.pprof")
	flags.BoolVar(&f.keys, "keys", false, "list the keys of --json, and measure nothing")
	return cmd
}

func benchText() string {
	var b strings.Builder
	b.WriteString(`Bench measures how many payments a second go all the way — command, decision, gateway, events on the stream — and how long one
takes, and holds that against the floor: the same rows, bytes and indexes written into the same PostgreSQL by as many connections in plain
batches, with no bus and no logic. NATS, PostgreSQL, and the workers are processes of their own, as in production; the gateway is inside
the workers. What is measured, one after the other, each on a new database and new streams:

`)
	for _, part := range benchParts() {
		fmt.Fprintf(&b, "  %-11s %s\n", part.name, part.about)
	}
	b.WriteString(`
Bench starts a PostgreSQL and NATS servers of its own, with everything on disk and every commit waited for, and leaves nothing behind. With
--postgres it makes its databases on that server, which takes the right to; with --nats it makes its streams on that server, which must
have none, and deletes them in the end. The workers are configured as tender serve is, by --config and the environment, but for addresses,
gateways and, where a gateway is slow, slots.

After every run it checks the books as tender verify --bus does. Exit code 1 if they are not clean.`)
	return b.String()
}

func (f *benchFlags) check() error {
	for _, name := range f.only {
		if !slices.ContainsFunc(benchParts(), func(p benchPart) bool { return p.name == name }) {
			return usageError("--only %s: there is nothing of that name to measure, see tender bench --help", name)
		}
	}
	if f.payments < 0 || f.preload < 0 {
		return usageError("--payments and --preload must not be negative")
	}
	return nil
}

// bench measures what is asked for, shows it, and says no if the books are not clean.
func (c *cli) bench(ctx context.Context, f benchFlags) (err error) {
	b := &benchmark{cli: c, flags: f, plan: fullPlan(), natsURL: c.natsURL, postgresURL: c.postgresURL}
	if f.quick {
		b.plan = quickPlan()
	}
	b.plan = b.plan.scaled(f.payments)
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
	if err := b.show(); err != nil {
		return err
	}
	if !b.report.Clean {
		return sayNo()
	}
	return nil
}

// prepare finds out about the machine and the settings, and starts PostgreSQL.
func (b *benchmark) prepare(ctx context.Context) (err error) {
	if b.published, b.stored, err = bench.PublishedPerPayment(ctx); err != nil {
		return err
	}
	if b.cfg, err = config.Load(b.configFile, b.environ); err != nil {
		return err
	}
	b.report = bench.Report{
		At: b.now().UTC(), Version: thisBuild().Version, Quick: b.flags.quick,
		Settings: bench.Settings{
			SlotsMax: b.cfg.Worker.SlotsMax, Committers: b.cfg.Store.Committers, BatchMax: b.cfg.Store.BatchMax,
			RelayBatch: b.cfg.Outbox.BatchMax, Connections: b.cfg.Postgres.MaxConns, OwnServers: b.postgresURL == "" && b.natsURL == "",
		},
	}
	if b.report.Machine, err = bench.ThisMachine(b.dir, b.now); err != nil {
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

// benchPostgres are those of the shipped settings that matter here.
func benchPostgres() map[string]string {
	return map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "8GB", "min_wal_size": "1GB", "checkpoint_timeout": "15min", "wal_compression": "on",
		"random_page_cost": "1.1", "autovacuum_naptime": "10s", "autovacuum_vacuum_cost_limit": "2000",
	}
}

// measure takes one part after the other.
func (b *benchmark) measure(ctx context.Context) error {
	for _, part := range benchParts() {
		if len(b.flags.only) > 0 && !slices.Contains(b.flags.only, part.name) {
			continue
		}
		if part.ownNATS && b.natsURL != "" {
			b.remark("%s is left out: it takes a NATS server of the benchmark's own", part.name)
			continue
		}
		if err := part.measure(b, ctx); err != nil {
			return err
		}
	}
	b.report.Seconds = b.now().Sub(b.report.At).Seconds()
	b.report.Finish()
	return nil
}

// profileOf is where the profiles of a run go, "" if there are none to be.
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
