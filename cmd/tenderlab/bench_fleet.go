package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// benchFleet holds the processes that a benchmark measures.
type benchFleet struct{ members []*benchMember }

// benchMember is one process of a fleet.
type benchMember struct {
	process *servers.Process
	begin   *os.File // its standard input
	said    *bufio.Reader
	output  *os.File
	log     string
}

// benchTask describes the processes to launch.
type benchTask struct {
	processes int
	slotsMax  int
	gateway   bench.GatewayConfig
	// profile is the prefix of the two profiles of the first process, "" for none.
	profile string
}

// launch starts processes and returns when each has opened its connections and waits for the start.
func (s *benchStage) launch(t benchTask) (*benchFleet, error) {
	f := &benchFleet{}
	for i := range t.processes {
		m, err := s.launchMember(t, i)
		if err != nil {
			return nil, errors.Join(err, f.kill())
		}
		f.members = append(f.members, m)
	}
	for _, m := range f.members {
		if line, err := m.said.ReadString('\n'); strings.TrimSpace(line) != benchOpened {
			failed := fmt.Errorf("a worker of the benchmark does not start: %s", m.tail())
			return nil, errors.Join(failed, err, f.kill())
		}
	}
	return f, nil
}

func (s *benchStage) launchMember(t benchTask, number int) (*benchMember, error) {
	arguments := []string{
		"bench-worker", "--latency", t.gateway.Latency.String(), "--tail", t.gateway.Tail.String(),
		"--declined", strconv.Itoa(t.gateway.Declined), "--unknown", strconv.Itoa(t.gateway.Unknown),
	}
	ledger := filepath.Join(s.dir, fmt.Sprintf("ledger-%d.json", len(s.ledgers)))
	s.ledgers = append(s.ledgers, ledger)
	arguments = append(arguments, "--ledger", ledger)
	if t.profile != "" && number == 0 {
		arguments = append(arguments, "--cpuprofile", t.profile+".cpu.pprof", "--memprofile", t.profile+".alloc.pprof")
	}
	if s.bench.ConfigFile != "" {
		arguments = append(arguments, "--config", s.bench.ConfigFile)
	}
	cmd := exec.Command(s.bench.program, arguments...) //nolint:gosec,noctx // G204: this program itself, which the fleet ends
	cmd.Env = s.environ(t.slotsMax, number)
	m := &benchMember{log: filepath.Join(s.dir, fmt.Sprintf("worker-%d.log", number))}
	log, err := os.Create(m.log)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	input, begin, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), log.Close())
	}
	output, told, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), log.Close(), input.Close(), begin.Close())
	}
	m.begin, m.output, m.said = begin, output, bufio.NewReader(output)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, told, log
	m.process, err = servers.Launch(cmd)
	// The process has its own copies of these files.
	return m, errors.Join(err, input.Close(), told.Close(), log.Close())
}

// start starts the work of all processes.
func (f *benchFleet) start() error {
	var errs []error
	for _, m := range f.members {
		if _, err := m.begin.WriteString("begin\n"); err != nil {
			errs = append(errs, fmt.Errorf("begin: %w", err))
		}
	}
	return errors.Join(errs...)
}

// stop lets the processes drain and returns their figures.
func (f *benchFleet) stop() ([]benchFigures, error) {
	var errs []error
	for _, m := range f.members {
		errs = append(errs, m.process.Signal(syscall.SIGTERM))
	}
	figures := make([]benchFigures, len(f.members))
	for i, m := range f.members {
		text, err := io.ReadAll(m.said)
		if err == nil {
			err = json.Unmarshal(text, &figures[i])
		}
		if err = errors.Join(err, m.process.Err()); err != nil {
			errs = append(errs, fmt.Errorf("a worker of the benchmark: %w; its log: %s", err, m.tail()))
		}
	}
	return figures, errors.Join(append(errs, f.kill())...)
}

// kill kills the processes that still run.
func (f *benchFleet) kill() error {
	var errs []error
	for _, m := range f.members {
		errs = append(errs, m.process.Signal(syscall.SIGKILL))
		<-m.process.Done()
		_ = m.begin.Close() // its reader has ended
		_ = m.output.Close()
	}
	f.members = nil
	return errors.Join(errs...)
}

// explain adds the ends of the processes' logs to an error.
func (f *benchFleet) explain(err error) error {
	if err == nil {
		return nil
	}
	for _, m := range f.members {
		if log := m.tail(); log != "" {
			err = fmt.Errorf("%w\na worker's log ends with: %s", err, log)
		}
	}
	return err
}

// tail returns the end of the process's log.
func (m *benchMember) tail() string {
	const most = 2000
	text, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// benchWorker is `tenderlab bench-worker`, one process that a benchmark measures: `tender serve`
// with another gateway.
type benchWorker struct {
	*term.Env
	gateway              bench.GatewayConfig
	cpuFile, allocations string
	// ledger is the file for the gateway's ledger, "" for none.
	ledger string
}

// benchFigures are the figures that such a process prints at its end.
type benchFigures struct {
	Mallocs, AllocBytes uint64
	CPUSeconds          float64
	RSSMax              int64
	InFlightMax, Calls  int64
}

// benchOpened is the line that it prints when its connections are open. It begins when it reads any
// line.
const benchOpened = "opened"

func newBenchWorker(e *term.Env) *cobra.Command {
	w := benchWorker{Env: e}
	cmd := &cobra.Command{
		Use:   "bench-worker",
		Short: "Run as one of the processes that a benchmark measures",
		Long: `Bench-worker plays the roles of tender serve with a gateway inside the process that moves
no money. Tenderlab bench starts such processes: each prints a line when it is ready,
begins when it reads a line, and on a signal drains and prints its figures.`,
		Example: "  tenderlab bench-worker --latency 50ms",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return w.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&w.gateway.Latency, "latency", 0, "latency of the gateway")
	flags.DurationVar(&w.gateway.Tail, "tail", 0, "latency of one call in a hundred")
	flags.IntVar(&w.gateway.Declined, "declined", 0, "authorizations in a thousand that it declines")
	flags.IntVar(&w.gateway.Unknown, "unknown", 0, "operations in a thousand whose first call has no answer")
	flags.StringVar(&w.cpuFile, "cpuprofile", "", "`file` for a profile of the CPU time")
	flags.StringVar(&w.allocations, "memprofile", "", "`file` for a profile of the allocations")
	flags.StringVar(&w.ledger, "ledger", "", "`file` for the gateway's ledger")
	return cmd
}

func (w *benchWorker) run(ctx context.Context) error {
	cfg, err := w.Load()
	if err != nil {
		return err
	}
	fast := bench.NewGateway(w.gateway)
	p, err := app.Open(ctx, cfg, app.NewLog(w.Stderr, cfg.Log), app.Options{
		WrapGateway: func(string, gateway.Gateway) gateway.Gateway { return fast },
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w.Stdout, benchOpened)
	if _, err := bufio.NewReader(w.Stdin).ReadString('\n'); err != nil {
		p.Close()
		return fmt.Errorf("wait for the start: %w", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := bench.OwnUsage()
	if err := w.profiled(func() error { return p.Run(ctx) }); err != nil {
		return err
	}
	ended := bench.OwnUsage()
	runtime.ReadMemStats(&after)
	if err := writeLedger(w.ledger, fast.Effects()); err != nil {
		return err
	}
	return w.PrintJSON(benchFigures{
		Mallocs: after.Mallocs - before.Mallocs, AllocBytes: after.TotalAlloc - before.TotalAlloc,
		CPUSeconds: (ended.CPU - began.CPU).Seconds(), RSSMax: ended.RSSMax, InFlightMax: fast.InFlightMax(), Calls: fast.Calls(),
	})
}

// writeLedger writes a ledger for the comparison after the run. It does nothing without a file.
func writeLedger(file string, ledger []bench.Effect) error {
	if file == "" {
		return nil
	}
	text, err := json.Marshal(ledger)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the gateway's ledger: %w", err)
	}
	return nil
}

// profiled runs do and writes the profiles that the flags name.
func (w *benchWorker) profiled(do func() error) (err error) {
	if w.cpuFile != "" {
		file, err := os.Create(w.cpuFile)
		if err != nil {
			return fmt.Errorf("write a profile: %w", err)
		}
		defer func() {
			pprof.StopCPUProfile()
			_ = file.Close()
		}()
		if err := pprof.StartCPUProfile(file); err != nil {
			return fmt.Errorf("profile the CPU time: %w", err)
		}
	}
	if err := do(); err != nil || w.allocations == "" {
		return err
	}
	file, err := os.Create(w.allocations)
	if err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
}
