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

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/rig"
)

// chaosFlags are the flags of `tenderlab chaos`.
type chaosFlags struct {
	// tender is the path of the program under test, "" for the one beside this program.
	tender  string
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
	// gateways are the user's simulators. remote permits servers on other machines.
	gateways map[string]string
	remote   bool
}

// chaosShort are the faults of a short run: one of each kind, of those that are quickly repaired.
func chaosShort() []string {
	return []string{
		"kill-after-commit-1", "kill-at-answer", "kill-before-ack", "kill-relay-after-publish", "postgres-crash", "cut-after-commit",
		"nats-connections-reset", "gateway-resets",
	}
}

// chaosSeries is `tenderlab chaos`: one seed after the other.
type chaosSeries struct {
	*term.Env
	chaosFlags
}

func newChaos(e *term.Env) *cobra.Command {
	c := &chaosSeries{Env: e}
	f := &c.chaosFlags
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Inject faults, and prove that no payment is lost or charged twice",
		Long: `Chaos runs the released program tender as in production, as separate processes — several
workers, two relays and schedulers, a webhook endpoint, a cluster of three NATS servers
with replicated streams, PostgreSQL, two simulators as gateways with their ledgers on
disk — and sends it payments. Meanwhile it injects faults: first each alone, then several
at once, in an order that follows from the seed. It kills workers at each step of a
command, which it sees on the wire, pauses them, cuts and partitions connections,
restarts and restores servers, fills streams and disks, and breaks gateways. The
processes contain no code that helps with that.

Then the faults stop and the backlog drains within a bounded time; every few seconds
chaos prints which work is still open, and why. After that it compares four sources: the
producers' record, the event store, the stream of events, and the gateways' ledgers. The
report lists the faults with their times, the checks and the findings; exit code 1 if
there is a finding. The evidence of a failed run stays in its folder, and its seed
replays it. A seed takes about four minutes on two cores.

All servers listen on loopback and end with the command.

With --nats and --postgres (or a configuration) and --gateway, chaos runs its processes
against your own servers, prepared as for tender serve. The faults then strike the
processes and their connections, not the servers. It makes payments of its own tenants
there (chaos-<seed>-a and -b): never point it at servers that process real payments. The
gateways must be simulators.`,
		Example: `  tenderlab chaos --short
  tenderlab chaos --seeds 3 --dir faults
  tenderlab chaos --seed 42 --only kill-after-commit-1,failover
  tenderlab chaos --nats nats://127.0.0.1:4222 --gateway simulator=http://127.0.0.1:8585 \
      --postgres postgres://tender_serve@127.0.0.1:5432/tender
  tenderlab chaos --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.list {
				return listFaults(e)
			}
			return c.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.Var((*seedList)(&f.seeds), "seed", "`seed` to run, or several separated by commas\n(default: a random one, which is printed)")
	flags.StringVar(&f.tender, "tender", "", "`path` of the program under test\n(default: tender beside this program)")
	flags.IntVar(&f.count, "seeds", 1, "number of seeds to run, one after the other")
	flags.StringSliceVar(&f.only, "only", nil, "only these faults: `list` of names from --list")
	flags.IntVar(&f.mixed, "mixed", 3, "rounds in which several faults happen at once")
	flags.IntVar(&f.rate, "rate", 40, "commands a second")
	flags.StringVar(&f.dir, "dir", ".tender/faults", "`folder` for reports and evidence")
	flags.BoolVar(&f.short, "short", false, "a few quick faults on a small system, well under a minute")
	flags.BoolVar(&f.list, "list", false, "list the faults and do nothing")
	flags.BoolVar(&f.keep, "keep", false, "also keep the evidence of runs without a finding")
	flags.DurationVar(&f.drain, "drain", 3*time.Minute, "limit for draining the backlog after the faults")
	flags.StringToStringVar(&f.gateways, "gateway", nil, "use your own simulator: `name=URL`; may be repeated;\nneeds --nats and --postgres")
	flags.BoolVar(&f.remote, "remote", false, "permit your own servers to be on other machines")
	flags.DurationVar(&f.copyAge, "copy-age", 2*time.Minute, "age of the copy from which NATS is restored")
	flags.Lookup("gateway").DefValue = "" // pflag would show "[]"
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

func listFaults(e *term.Env) error {
	faults := rig.Faults()
	if e.JSON {
		for _, f := range faults {
			if err := e.PrintJSON(map[string]any{"fault": f.Name, "class": f.Class, "about": f.About, "alone": f.Alone}); err != nil {
				return err
			}
		}
		return nil
	}
	t := term.NewTable(e.Stdout, "FAULT", "STRIKES", "WHAT HAPPENS")
	for _, f := range faults {
		t.Row(f.Name, string(f.Class), f.About)
	}
	return t.Flush()
}

// faults returns the faults that the flags select.
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
			return nil, term.UsageError("there is no fault %q: see tenderlab chaos --list", name)
		}
	}
	return slices.DeleteFunc(all, func(known rig.Fault) bool { return !slices.Contains(names, known.Name) }), nil
}

// given returns the user's own servers, nil if there are none.
func (c *chaosSeries) given() (*rig.Given, error) {
	if c.ConfigFile == "" && c.NATSURL == "" && c.PostgresURL == "" && len(c.gateways) == 0 {
		return nil, nil
	}
	if len(c.gateways) == 0 {
		return nil, term.UsageError("your own servers need --gateway name=URL as well: a simulator, whose ledger chaos can read")
	}
	cfg, err := c.Load()
	if err != nil {
		return nil, err
	}
	g := &rig.Given{NATSURL: cfg.NATS.URL.Reveal(), PostgresURL: cfg.Postgres.URL.Reveal(), Gateways: c.gateways}
	hosts, err := g.Hosts()
	if err != nil {
		return nil, term.UsageError("%w", err)
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); !c.remote && host != "localhost" && (address == nil || !address.IsLoopback()) {
			return nil, term.UsageError("%s is another machine: --remote permits that, if no real payments are processed there", host)
		}
	}
	return g, nil
}

// run runs one seed after the other, and says no if one of them has a finding.
func (c *chaosSeries) run(ctx context.Context) error {
	faults, err := c.faults()
	if err != nil {
		return err
	}
	programs, err := c.programs()
	if err != nil {
		return err
	}
	given, err := c.given()
	if err != nil {
		return err
	}
	seeds := c.seeds
	for len(seeds) < c.count {
		seeds = append(seeds, uint64(c.Now().UnixNano())%1_000_000)
	}
	failed := 0
	var reports []chaos.Report
	for _, seed := range seeds {
		dir, err := filepath.Abs(filepath.Join(c.dir, fmt.Sprint("seed-", seed)))
		if err != nil {
			return fmt.Errorf("name the folder of evidence: %w", err)
		}
		run := &chaosRun{Env: c.Env, flags: c.chaosFlags, faults: faults, given: given, programs: programs, seed: seed, dir: dir}
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
		return term.SayNo()
	}
	return nil
}

// programs finds the program under test, tender, and this program, which also runs the servers
// around it.
func (c *chaosSeries) programs() (rig.Programs, error) {
	lab, err := os.Executable()
	if err != nil {
		return rig.Programs{}, fmt.Errorf("find this program: %w", err)
	}
	tender := c.tender
	if tender == "" {
		tender = filepath.Join(filepath.Dir(lab), "tender")
	}
	if tender, err = filepath.Abs(tender); err != nil {
		return rig.Programs{}, fmt.Errorf("find tender: %w", err)
	}
	if info, err := os.Stat(tender); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return rig.Programs{}, term.UsageError("there is no program %s to test: make build builds it, --tender names another", tender)
	}
	return rig.Programs{Tender: tender, Lab: lab}, nil
}

// showRuns shows several runs in a table.
func (c *chaosSeries) showRuns(reports []chaos.Report) error {
	if c.JSON || len(reports) < 2 {
		return nil
	}
	fmt.Fprintln(c.Stdout)
	t := term.NewTable(c.Stdout, "SEED", "FAULTS", "ACKNOWLEDGED", "PAYMENTS", "GATEWAY CALLS", "REDELIVERIES", "DUPLICATES ABSORBED", "DRAINED IN", "TOOK", "RESULT")
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
		t.Row(fmt.Sprint(r.Seed), fmt.Sprint(len(r.Injections)), fmt.Sprint(f.Acknowledged), fmt.Sprint(f.Payments), fmt.Sprint(f.GatewayCalls),
			fmt.Sprint(f.Redeliveries), fmt.Sprint(f.DuplicatesOnBus+f.DuplicatesAbsorbed), drained, r.Ended.Sub(r.Began).Round(time.Second).String(), result)
	}
	return t.Flush()
}
