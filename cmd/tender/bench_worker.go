package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
)

// benchWorker is one process that a benchmark measures: `tender serve` with another gateway.
type benchWorker struct {
	*cli
	gateway              bench.GatewayConfig
	cpuFile, allocations string
}

// benchFigures are what such a process says of itself when it has ended.
type benchFigures struct {
	Mallocs, AllocBytes uint64
	CPUSeconds          float64
	RSSMax              int64
	InFlightMax, Calls  int64
}

// benchOpened is what it says when it has everything that it needs. It begins when it is answered with any line.
const benchOpened = "opened"

func newBenchWorker(c *cli) *cobra.Command {
	w := benchWorker{cli: c}
	cmd := &cobra.Command{
		Use:   "bench-worker",
		Short: "Be one of the processes that a benchmark measures",
		Long: `Bench-worker plays the roles of tender serve with a gateway inside the process that does nothing. It is what tender bench
starts processes of: it says that it is there, begins when it is told to on standard input, and when it is told to stop it drains and
prints what it has used.`,
		Example: "  tender bench-worker --latency 50ms",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return w.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&w.gateway.Latency, "latency", 0, "how long the gateway takes")
	flags.DurationVar(&w.gateway.Tail, "tail", 0, "how long it takes in one case of a hundred")
	flags.IntVar(&w.gateway.Declined, "declined", 0, "how many of a thousand authorizations it declines")
	flags.IntVar(&w.gateway.Unknown, "unknown", 0, "how many of a thousand operations have no answer at first")
	flags.StringVar(&w.cpuFile, "cpuprofile", "", "`file` for a profile of the CPU time")
	flags.StringVar(&w.allocations, "memprofile", "", "`file` for a profile of the allocations")
	return cmd
}

func (w *benchWorker) run(ctx context.Context) error {
	cfg, err := w.load()
	if err != nil {
		return err
	}
	fast := bench.NewGateway(w.gateway)
	p, err := open(ctx, cfg, newLog(w.stderr, cfg.Log), openOptions{
		wrapGateway: func(string, gateway.Gateway) gateway.Gateway { return fast },
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w.stdout, benchOpened)
	if _, err := bufio.NewReader(w.stdin).ReadString('\n'); err != nil {
		p.close()
		return fmt.Errorf("wait to be told to begin: %w", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := bench.OwnUsage()
	if err := w.profiled(func() error { return p.run(ctx) }); err != nil {
		return err
	}
	ended := bench.OwnUsage()
	runtime.ReadMemStats(&after)
	return w.printJSON(benchFigures{
		Mallocs: after.Mallocs - before.Mallocs, AllocBytes: after.TotalAlloc - before.TotalAlloc,
		CPUSeconds: (ended.CPU - began.CPU).Seconds(), RSSMax: ended.RSSMax, InFlightMax: fast.InFlightMax(), Calls: fast.Calls(),
	})
}

// profiled runs do and writes the profiles that are asked for.
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
