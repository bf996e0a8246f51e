package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/lab/simulation"
)

// simulateRun is `tenderlab simulate`: one seed after the other.
type simulateRun struct {
	*term.Env
	// first is the first seed, and count the number of seeds from there.
	first uint64
	count int
	steps int
	trace bool
}

// simulateReport is the end of a run.
type simulateReport struct {
	FirstSeed uint64                   `json:"first_seed"`
	Seeds     int                      `json:"seeds"`
	Effects   int                      `json:"effects"`
	Seconds   float64                  `json:"seconds"`
	PerSecond int                      `json:"effects_per_second"`
	Figures   map[string]int           `json:"figures"`
	Finding   *simulation.FindingError `json:"finding,omitempty"`
}

func newSimulate(e *term.Env) *cobra.Command {
	s := &simulateRun{Env: e}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run payments in virtual time, and compare each step with the truth",
		Long: `Simulate runs the real decisions about payments in one goroutine and in virtual time,
among models of everything else: the store, the bus, the scheduler, three gateways with
ledgers of their own, producers, customers and operators. What goes wrong, and in which
order, follows from the seed: the same seed gives the same run.

After each effect it compares what the gateways moved with what is booked, and it wants
every payment to come to rest. At the first finding it prints the seed, the step and the
last lines of the trace, and ends with exit code 1. It needs no server and no disk.`,
		Example: `  tenderlab simulate
  tenderlab simulate --seeds 20000
  tenderlab simulate --seed 4711 --trace`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.count < 1 || s.steps < 1 {
				return term.UsageError("--seeds and --steps count from 1")
			}
			if cmd.Flags().Changed("seed") && !cmd.Flags().Changed("seeds") {
				s.count = 1
			}
			return s.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&s.first, "seed", 0, "first `seed`; alone, the only one")
	flags.IntVar(&s.count, "seeds", 1000, "number of seeds to run, one after the other")
	flags.IntVar(&s.steps, "steps", 20_000, "most effects of a seed: more count as one without an end")
	flags.BoolVar(&s.trace, "trace", false, "print everything that happens")
	return cmd
}

// run runs one seed after the other until one has a finding.
func (s *simulateRun) run(ctx context.Context) error {
	report := simulateReport{FirstSeed: s.first, Figures: map[string]int{}}
	began, said := s.Now(), s.Now()
	for seed := s.first; report.Seeds < s.count && report.Finding == nil; seed++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		opts := simulation.Options{EffectsMax: s.steps}
		if s.trace {
			opts.Trace = func(line string) { fmt.Fprintln(s.Stdout, line) }
		}
		r, err := simulation.Run(seed, opts)
		if err != nil && !errors.As(err, &report.Finding) {
			return err
		}
		report.Seeds++
		report.Effects += r.Effects
		for name, n := range r.Figures {
			report.Figures[name] += n
		}
		if now := s.Now(); now.Sub(said) >= progressEvery {
			said = now
			s.Remark("%d of %d seeds, %d effects", report.Seeds, s.count, report.Effects)
		}
	}
	report.Seconds = s.Now().Sub(began).Seconds()
	if report.Seconds > 0 {
		report.PerSecond = int(float64(report.Effects) / report.Seconds)
	}
	return s.show(&report)
}

// progressEvery is the time between two lines about the progress.
const progressEvery = 5 * time.Second

func (s *simulateRun) show(report *simulateReport) error {
	if s.JSON {
		if err := s.PrintJSON(report); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.Stdout, "%d seeds from %d: %d effects in %.1f s, %d a second on one core\n",
			report.Seeds, report.FirstSeed, report.Effects, report.Seconds, report.PerSecond)
	}
	finding := report.Finding
	if finding == nil {
		if !s.JSON {
			fmt.Fprintln(s.Stdout, "everything holds")
		}
		return nil
	}
	if !s.JSON {
		if !s.trace {
			s.showTrace(finding.Seed)
		}
		fmt.Fprintf(s.Stdout, "FINDING %s\nreplay it: tenderlab simulate --seed %d --trace\n", finding, finding.Seed)
	}
	return term.SayNo()
}

// showTrace runs a seed again for the last lines of its trace.
func (s *simulateRun) showTrace(seed uint64) {
	lines := recentLines{max: 40}
	_, _ = simulation.Run(seed, simulation.Options{
		EffectsMax: s.steps, Trace: func(line string) { _, _ = lines.Write([]byte(line)) },
	})
	lines.show(s.Stdout)
}
