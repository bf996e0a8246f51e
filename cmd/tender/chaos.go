package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/rig"
)

// chaosFlags are those of chaos.
type chaosFlags struct {
	seeds   []uint64
	count   int
	only    []string
	mixed   int
	rate    int
	dir     string
	short   bool
	list    bool
	keep    bool
	drain   time.Duration
	copyAge time.Duration
	// gateways are simulators of one's own, and remote lets them and the other servers be on other machines.
	gateways map[string]string
	remote   bool
}

// chaosShort are the faults of a short run: one of each kind, and what is quickly put right.
func chaosShort() []string {
	return []string{
		"kill-after-commit-1", "kill-at-answer", "kill-before-ack", "kill-relay-after-publish", "postgres-crash", "cut-after-commit",
		"nats-connections-reset", "gateway-resets",
	}
}

func newChaos(c *cli) *cobra.Command {
	var f chaosFlags
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Break everything on purpose, and prove that no payment is charged twice or lost",
		Long: `Chaos runs Tender as it runs for real, every process its own — several workers, two relays and schedulers, a webhook endpoint, a
cluster of three NATS servers with replicated streams, PostgreSQL, two simulators as gateways with their ledgers on disk — and sends it
payments. Meanwhile it lets faults happen: first each alone, then several at once, in an order that follows from the seed. It kills
workers at each step of a command, seen on the wire, lets them stand still, cuts and partitions, restarts and restores servers,
fills streams and disks, and breaks gateways. Nothing in the processes helps with that.

Then the faults stop and the backlog drains within a bounded time; while it does, it says every few seconds what is still open, and why.
After that four sources are held against each other: what the producers recorded, the event store, the stream of events, and the
gateways' own ledgers. The report says what was done when, how long it took, what was checked, and what was found; exit code 1 if
anything was. The evidence of a failed run stays in its folder, and its seed replays it. A seed takes about four minutes on two cores.

Everything listens on loopback and ends with the command.

With --nats and --postgres (or a configuration) and --gateway it runs its processes against servers of one's own, prepared as for tender
serve; then faults strike these processes and their ways to the servers, and not the servers. It makes payments of tenants of its own
there (chaos-<seed>-a and -b): never point it at servers that process real payments. Gateways have to be simulators.`,
		Example: `  tender chaos --short
  tender chaos --seeds 3 --dir faults
  tender chaos --seed 42 --only kill-after-commit-1,failover
  tender chaos --nats nats://127.0.0.1:4222 --postgres postgres://tender_serve@127.0.0.1:5432/tender --gateway simulator=http://127.0.0.1:8585
  tender chaos --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.list {
				return c.listFaults()
			}
			return c.chaos(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.Var((*seedList)(&f.seeds), "seed", "`seed` to run, or several separated by commas (default: chosen by chance, and printed)")
	flags.IntVar(&f.count, "seeds", 1, "how many seeds to run, one after the other")
	flags.StringSliceVar(&f.only, "only", nil, "only these faults: `list` of names from --list")
	flags.IntVar(&f.mixed, "mixed", 3, "rounds in which several faults happen at once")
	flags.IntVar(&f.rate, "rate", 40, "commands a second")
	flags.StringVar(&f.dir, "dir", ".tender/faults", "`folder` for reports and evidence")
	flags.BoolVar(&f.short, "short", false, "a few quick faults on a small system, well under a minute")
	flags.BoolVar(&f.list, "list", false, "list the faults and do nothing")
	flags.BoolVar(&f.keep, "keep", false, "keep the evidence of runs in which everything held, too")
	flags.DurationVar(&f.drain, "drain", 3*time.Minute, "how long the backlog may take to drain when the faults have stopped")
	flags.StringToStringVar(&f.gateways, "gateway", nil, "use simulators of one's own, as name=URL; may be repeated. Needs --nats and --postgres")
	flags.BoolVar(&f.remote, "remote", false, "let servers of one's own be on other machines")
	flags.DurationVar(&f.copyAge, "copy-age", 2*time.Minute, "how old the copy is that the broker is restored from")
	return cmd
}

// seedList is the value of --seed.
type seedList []uint64

// String implements pflag.Value.
func (s *seedList) String() string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(*s)), ","), "[]")
}

// Set implements pflag.Value.
func (s *seedList) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		seed, err := strconv.ParseUint(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a seed: a whole number from 0", part)
		}
		*s = append(*s, seed)
	}
	return nil
}

// Type implements pflag.Value.
func (s *seedList) Type() string { return "seed" }

func (c *cli) listFaults() error {
	faults := rig.Faults()
	if c.json {
		for _, f := range faults {
			if err := c.printJSON(map[string]any{"fault": f.Name, "class": f.Class, "about": f.About, "alone": f.Alone}); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(c.stdout, "FAULT", "STRIKES", "WHAT HAPPENS")
	for _, f := range faults {
		t.row(f.Name, string(f.Class), f.About)
	}
	return t.flush()
}

// faults are those that the flags ask for.
func (f *chaosFlags) faults() ([]rig.Fault, error) {
	names := f.only
	if f.short && len(names) == 0 {
		names = chaosShort()
	}
	all := rig.Faults()
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(known rig.Fault) bool { return known.Name == name }) {
			return nil, usageError("there is no fault %q: see tender chaos --list", name)
		}
	}
	return slices.DeleteFunc(all, func(known rig.Fault) bool { return !slices.Contains(names, known.Name) }), nil
}

// given are the servers of one's own, nil if there are none.
func (c *cli) given(f chaosFlags) (*rig.Given, error) {
	if c.configFile == "" && c.natsURL == "" && c.postgresURL == "" && len(f.gateways) == 0 {
		return nil, nil
	}
	if len(f.gateways) == 0 {
		return nil, usageError("servers of one's own need --gateway name=URL, too: a simulator, whose ledger can be read")
	}
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	g := &rig.Given{NATSURL: cfg.NATS.URL.Reveal(), PostgresURL: cfg.Postgres.URL.Reveal(), Gateways: f.gateways}
	hosts, err := g.Hosts()
	if err != nil {
		return nil, usageError("%w", err)
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); !f.remote && host != "localhost" && (address == nil || !address.IsLoopback()) {
			return nil, usageError("%s is another machine: --remote allows that, if nothing there processes real payments", host)
		}
	}
	return g, nil
}

// chaos runs one seed after the other, and says no if anything was found in any of them.
func (c *cli) chaos(ctx context.Context, f chaosFlags) error {
	faults, err := f.faults()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	given, err := c.given(f)
	if err != nil {
		return err
	}
	seeds := f.seeds
	for len(seeds) < f.count {
		seeds = append(seeds, uint64(c.now().UnixNano())%1_000_000)
	}
	failed := 0
	var reports []chaos.Report
	for _, seed := range seeds {
		dir, err := filepath.Abs(filepath.Join(f.dir, fmt.Sprint("seed-", seed)))
		if err != nil {
			return fmt.Errorf("name the folder of evidence: %w", err)
		}
		run := &chaosRun{cli: c, flags: f, faults: faults, given: given, program: program, seed: seed, dir: dir}
		clean, err := run.run(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return errors.Join(fmt.Errorf("seed %d: %w", seed, err), fmt.Errorf("the evidence is in %s", dir))
		case !clean:
			failed++
		}
		reports = append(reports, run.report)
	}
	if err := c.showRuns(reports); err != nil {
		return err
	}
	if failed > 0 {
		return sayNo()
	}
	return nil
}

// showRuns sums several runs up in a table.
func (c *cli) showRuns(reports []chaos.Report) error {
	if c.json || len(reports) < 2 {
		return nil
	}
	fmt.Fprintln(c.stdout)
	t := newTable(c.stdout, "SEED", "FAULTS", "ACKNOWLEDGED", "PAYMENTS", "GATEWAY CALLS", "REDELIVERIES", "DUPLICATES ABSORBED", "DRAINED IN", "TOOK", "RESULT")
	for i := range reports {
		r := &reports[i]
		result, drained := "everything holds", ""
		if !r.OK() {
			result = "SEE ABOVE"
		}
		if r.Drain != nil {
			drained = r.Drain.Took.Round(100 * time.Millisecond).String()
		}
		f := &r.Verdict.Figures
		t.row(fmt.Sprint(r.Seed), fmt.Sprint(len(r.Injections)), fmt.Sprint(f.Acknowledged), fmt.Sprint(f.Payments), fmt.Sprint(f.GatewayCalls),
			fmt.Sprint(f.Redeliveries), fmt.Sprint(f.DuplicatesOnBus+f.DuplicatesAbsorbed), drained, r.Ended.Sub(r.Began).Round(time.Second).String(), result)
	}
	return t.flush()
}
