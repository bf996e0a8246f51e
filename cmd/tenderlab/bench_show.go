package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
)

// benchPrinter shows a report.
type benchPrinter struct {
	*term.Env
	// plot is the file for the plot of the latencies, "" for none.
	plot   string
	report *bench.Report
}

// show prints the report, as JSON or for people, and draws the plot.
func (b *benchPrinter) show() error {
	if b.plot != "" {
		file, err := os.Create(b.plot)
		if err != nil {
			return fmt.Errorf("draw the latencies: %w", err)
		}
		if err := errors.Join(bench.SVG(file, b.report.Latencies), file.Close()); err != nil {
			return fmt.Errorf("draw the latencies: %w", err)
		}
	}
	if b.JSON {
		return b.PrintJSON(b.report)
	}
	b.showMachine()
	for _, part := range []func() error{b.showRuns, b.showCost, b.showLatencies} {
		if err := part(); err != nil {
			return err
		}
	}
	return b.showVerdict()
}

func (b *benchPrinter) showMachine() {
	m, s := b.report.Machine, b.report.Settings
	fmt.Fprintf(b.Stdout, "%s, %d CPUs, %.1f GiB, %s, %s; 4 KiB to the disk take %.2f ms; load before %.2f\n",
		orUnknown(m.CPU), m.CPUs, float64(m.Memory)/(1<<30), m.System, m.Go, m.SyncTime, m.Load)
	if s.Postgres.Version != "" {
		fmt.Fprintf(b.Stdout, "PostgreSQL %s with fsync %s, synchronous_commit %s, shared_buffers %s; NATS %s; tender %s, %d committers, %d slots\n",
			s.Postgres.Version, s.Postgres.Fsync, s.Postgres.SynchronousCommit, s.Postgres.SharedBuffers, s.NATS,
			b.report.Version, s.Committers, s.SlotsMax)
	}
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown processor"
	}
	return text
}

func (b *benchPrinter) showRuns() error {
	if b.report.Floor == nil && len(b.report.Runs) == 0 {
		return nil
	}
	fmt.Fprintln(b.Stdout)
	t := term.NewTable(b.Stdout, "RUN", "GATEWAY", "PROCESSES", "PAYMENTS", "SECONDS", "PAYMENTS/S", "STEADY", "OF FLOOR", "IN FLIGHT", "WAITING", "BOOKS")
	if f := b.report.Floor; f != nil {
		t.Row("floor", "", "", fmt.Sprint(f.Payments), fmt.Sprintf("%.2f", f.Seconds), fmt.Sprintf("%.0f", f.PerSecond), "", "1.00", "", "", "")
	}
	for i := range b.report.Runs {
		r := &b.report.Runs[i]
		ofFloor, waiting, steady := "", "", ""
		if r.Steady > 0 {
			steady = fmt.Sprintf("%.0f", r.Steady)
		}
		if f := b.report.Floor; f != nil {
			ofFloor = fmt.Sprintf("%.2f", r.PerSecond/f.PerSecond)
		}
		if r.Waiting > 0 {
			waiting = fmt.Sprint(r.Waiting)
		}
		t.Row(r.Name, r.Gateway, fmt.Sprint(r.Processes), fmt.Sprint(r.Payments), fmt.Sprintf("%.2f", r.Seconds), fmt.Sprintf("%.0f", r.PerSecond),
			steady, ofFloor, fmt.Sprint(r.InFlightMax), waiting, booksOf(r.Verify))
	}
	return t.Flush()
}

func booksOf(v bench.Verify) string {
	if v.Clean {
		return "clean"
	}
	return fmt.Sprintf("%d violations", v.Violations)
}

// showCost shows the cost of a payment.
func (b *benchPrinter) showCost() error {
	if len(b.report.Runs) == 0 {
		return nil
	}
	fmt.Fprintln(b.Stdout)
	t := term.NewTable(b.Stdout, "FOR EACH PAYMENT", "CPU", "WORKERS", "NATS", "POSTGRESQL", "WAL", "ALLOCS", "ALLOCATED", "RSS MAX")
	if f := b.report.Floor; f != nil {
		t.Row(append(append([]string{"floor"}, cpuCells(f.CPU, f.Payments)...), kibibytes(float64(f.WALBytes)), "", "", "")...)
	}
	for i := range b.report.Runs {
		r := &b.report.Runs[i]
		t.Row(append(append([]string{r.Name}, cpuCells(r.CPU, r.Payments)...), kibibytes(float64(r.WALBytes)),
			fmt.Sprintf("%.0f", r.Allocs), kibibytes(r.AllocB), fmt.Sprintf("%.0fMiB", float64(r.RSSMax)/(1<<20)))...)
	}
	return t.Flush()
}

// cpuCells are the CPU time for each payment: the total, and that of each process.
func cpuCells(c bench.CPU, payments int) []string {
	var cells []string
	for _, seconds := range []float64{c.Total(), c.Workers, c.NATS, c.Postgres} {
		cell := ""
		if seconds > 0 {
			cell = fmt.Sprintf("%.0fµs", seconds/float64(max(payments, 1))*1e6)
		}
		cells = append(cells, cell)
	}
	return cells
}

func kibibytes(n float64) string { return fmt.Sprintf("%.1fKiB", n/1024) }

func (b *benchPrinter) showLatencies() error {
	if len(b.report.Latencies) == 0 {
		return nil
	}
	fmt.Fprintln(b.Stdout)
	t := term.NewTable(b.Stdout, "LATENCY AT", "PAYMENTS/S", "PAYMENTS", "MISSING", "P50", "P90", "P99", "P99.9", "MAX", "BOOKS")
	for i := range b.report.Latencies {
		l := &b.report.Latencies[i]
		t.Row(l.Name, fmt.Sprintf("%.0f", l.PerSecond), fmt.Sprint(l.Payments), fmt.Sprint(l.Missing), milliseconds(l.P50), milliseconds(l.P90),
			milliseconds(l.P99), milliseconds(l.P999), milliseconds(l.Max), booksOf(l.Verify))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(b.Stdout)
	return bench.Plot(b.Stdout, b.report.Latencies)
}

func (b *benchPrinter) showVerdict() error {
	r := b.report
	var said []string
	for _, ratio := range []struct {
		text  string
		value float64
	}{
		{"throughput is %.2f of the floor", r.FloorRatio},
		{"by CPU time it would be %.2f", r.CPURatio},
		{"PostgreSQL's CPU time for a payment is %.2f times the floor's", r.CPUFloorRatio},
		{"with sync_interval always it is %.2f of that", r.SyncRatio},
		{"a payment in the filled store costs %.2f times the CPU time", r.PreloadCostRatio},
	} {
		if ratio.value > 0 {
			said = append(said, fmt.Sprintf(ratio.text, ratio.value))
		}
	}
	fmt.Fprintln(b.Stdout)
	if len(said) > 0 {
		fmt.Fprintln(b.Stdout, strings.Join(said, "; "))
	}
	for _, v := range b.verifications() {
		for _, finding := range v.Findings {
			fmt.Fprintln(b.Stdout, finding)
		}
	}
	outcome := "the books are clean after every run"
	if !r.Clean {
		outcome = "the books are NOT clean"
	}
	_, err := fmt.Fprintf(b.Stdout, "%s; %.0f s in all\n", outcome, r.Seconds)
	return err
}

func (b *benchPrinter) verifications() []bench.Verify {
	var all []bench.Verify
	for i := range b.report.Runs {
		all = append(all, b.report.Runs[i].Verify)
	}
	for i := range b.report.Latencies {
		all = append(all, b.report.Latencies[i].Verify)
	}
	return all
}

// showBenchKeys documents the output of --json.
func showBenchKeys(e *term.Env) error {
	if e.JSON {
		return e.PrintJSON(bench.Keys())
	}
	t := term.NewTable(e.Stdout, "KEY", "MEANING")
	for _, k := range bench.Keys() {
		t.Row(k.Name, k.Doc)
	}
	return t.Flush()
}
