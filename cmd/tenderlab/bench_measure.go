package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/checkpoint"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

const (
	// benchSlotsMax is the most commands that a run has in progress in one process.
	benchSlotsMax = 16_384
	// benchPatience bounds the time without progress in a run.
	benchPatience = 30 * time.Second
)

// benchRun describes one measurement of throughput. The zero value is the plainest.
type benchRun struct {
	name       string
	payments   int
	processes  int // 0: one
	slotsMax   int // 0: as configured
	gateway    bench.GatewayConfig
	syncAlways bool
	// mixed captures and refunds what it creates.
	mixed bool
	// preload counts the events that the store holds before the run.
	preload int
	// within ends the run even if commands wait; 0: never.
	within time.Duration
}

// reading holds the counters at one moment.
type reading struct {
	at             time.Time
	nats, postgres time.Duration
	wal            int64
	events         uint64
}

func (s *benchStage) read(ctx context.Context) (reading, error) {
	r := reading{at: s.bench.Now()}
	if s.node != nil {
		r.nats, _ = bench.CPUOf(s.nodePID) // 0 where it is not known
	}
	r.postgres = s.postgresCPU()
	var err, errEvents error
	r.wal, err = store.WALPosition(ctx, s.pool)
	r.events, errEvents = bench.Events(ctx, s.js)
	return r, errors.Join(err, errEvents)
}

// postgresCPU is the CPU time of PostgreSQL so far, 0 if it is not known.
func (s *benchStage) postgresCPU() time.Duration {
	used, _ := bench.CPUOfFamily(s.bench.postmaster)
	return used
}

// throughput measures one run on a stage of its own.
func (b *benchmark) throughput(ctx context.Context, r benchRun) (found bench.Run, err error) {
	if r.processes == 0 {
		r.processes = 1
	}
	if r.slotsMax == 0 {
		r.slotsMax = b.cfg.Worker.SlotsMax
	}
	s, err := b.openStage(ctx, r.syncAlways)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.preload(ctx, r.preload); err != nil {
		return found, err
	}
	method := messages.CaptureAutomatic
	if r.mixed {
		method = messages.CaptureManual
	}
	if err := bench.Backlog(ctx, s.js, r.payments, method, b.Now); err != nil {
		return found, err
	}
	fleet, err := s.launch(benchTask{processes: r.processes, slotsMax: r.slotsMax, gateway: r.gateway, profile: b.profileOf(r.name)})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, fleet.kill()) }()
	if found, err = s.work(ctx, fleet, r); err != nil {
		return found, err
	}
	found.Verify, err = s.verify(ctx, r.preload == 0)
	return found, err
}

// work lets the fleet process the backlog, and reads the counters before and after.
func (s *benchStage) work(ctx context.Context, fleet *benchFleet, r benchRun) (bench.Run, error) {
	before, err := s.read(ctx)
	if err != nil {
		return bench.Run{}, err
	}
	before.at = s.bench.Now()
	if err := fleet.start(); err != nil {
		return bench.Run{}, err
	}
	found := bench.Run{
		Name: r.name, Gateway: r.gateway.String(), Processes: r.processes, SlotsMax: r.slotsMax, Payments: r.payments, Commands: r.payments,
	}
	nineTenths, err := s.await(ctx, r, &found, before.events)
	if err != nil {
		return found, fleet.explain(err)
	}
	ended := s.bench.Now()
	if !nineTenths.IsZero() {
		found.Steady = 0.9 * float64(r.payments) / nineTenths.Sub(before.at).Seconds()
	}
	after, err := s.read(ctx)
	if err != nil {
		return found, err
	}
	if r.within > 0 {
		found.Payments = int(after.events-before.events) / s.bench.published //nolint:gosec // G115: a count of events
		found.Commands, found.Waiting = found.Payments, r.payments-found.Payments
	}
	figures, err := fleet.stop()
	if err != nil {
		return found, err
	}
	return account(found, before, after, ended, figures), nil
}

// await returns at the end of the run. nineTenths is the time at which nine of ten payments were
// done, zero if it is not known.
func (s *benchStage) await(ctx context.Context, r benchRun, found *bench.Run, there uint64) (nineTenths time.Time, err error) {
	if r.mixed {
		talk, err := bench.Converse(ctx, s.js, r.payments, benchPatience, 0)
		found.Commands += talk.Commands
		if err == nil && talk.Rejected > 0 {
			err = fmt.Errorf("%d commands were refused", talk.Rejected)
		}
		return time.Time{}, err
	}
	limited := ctx
	if r.within > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, r.within)
		defer cancel()
	}
	want := uint64(r.payments * s.bench.published) //nolint:gosec // G115: both are positive
	nineTenths, err = bench.AwaitEvents(limited, s.js, there, want, benchPatience, s.bench.Now)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && r.within > 0 {
		err = nil
	}
	return nineTenths, err
}

// account computes the figures of a run from the counters.
func account(r bench.Run, before, after reading, ended time.Time, figures []benchFigures) bench.Run {
	took := ended.Sub(before.at).Seconds()
	n := float64(max(r.Payments, 1))
	r.Seconds, r.PerSecond = took, n/took
	r.WALBytes = (after.wal - before.wal) / int64(max(r.Payments, 1))
	r.CPU.NATS, r.CPU.Postgres = (after.nats - before.nats).Seconds(), (after.postgres - before.postgres).Seconds()
	for _, f := range figures {
		r.CPU.Workers += f.CPUSeconds
		r.Allocs += float64(f.Mallocs) / n
		r.AllocB += float64(f.AllocBytes) / n
		r.RSSMax = max(r.RSSMax, f.RSSMax)
		r.InFlightMax += f.InFlightMax
	}
	r.CPUMicros = r.CPU.Total() / n * 1e6
	return r
}

// preload fills the store with payments that are published and covered by checkpoints.
func (s *benchStage) preload(ctx context.Context, events int) error {
	if events == 0 {
		return nil
	}
	c := s.bench.floorConfig()
	c.Payments = (events + s.bench.stored - 1) / s.bench.stored
	shown := s.bench.Now()
	err := bench.Fill(ctx, s.pool, c, func(written int) {
		if now := s.bench.Now(); now.Sub(shown) >= term.ProgressInterval {
			shown = now
			s.bench.Remark("  %d of %d payments are written", written, c.Payments)
		}
	})
	if err != nil {
		return err
	}
	s.bench.Remark("  vacuum, and checkpoints of %d events", events)
	if err := checkpoint.NewTaker(s.pool, time.Hour, zap.NewNop(), s.bench.Now).TakeAll(ctx); err != nil {
		return err
	}
	// The pool's statements have a time limit.
	conn, err := pgx.Connect(ctx, s.cfg.Postgres.URL.Reveal())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return errors.Join(store.Vacuum(ctx, conn), conn.Close(ctx))
}

// latency measures at one rate on a stage of its own.
func (b *benchmark) latency(ctx context.Context, name string, perSecond float64, during time.Duration) (found bench.Latency, err error) {
	s, err := b.openStage(ctx, false)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	fleet, err := s.launch(benchTask{processes: 1, slotsMax: b.cfg.Worker.SlotsMax, profile: b.profileOf("latency_" + strings.NewReplacer("/", "_", " ", "_").Replace(name))})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, fleet.kill()) }()
	if err := fleet.start(); err != nil {
		return found, err
	}
	loop := bench.OpenLoopConfig{PerSecond: 50, For: min(time.Second, during), Patience: benchPatience, Now: b.Now}
	if _, err := bench.OpenLoop(ctx, s.js, loop); err != nil { // warm plans, connections and partitions
		return found, err
	}
	loop.PerSecond, loop.For = perSecond, during
	if found, err = bench.OpenLoop(ctx, s.js, loop); err != nil {
		return found, err
	}
	found.Name = name
	if _, err := fleet.stop(); err != nil {
		return found, err
	}
	found.Verify, err = s.verify(ctx, true)
	return found, err
}

// floor measures the rate of the database alone.
func (b *benchmark) floor(ctx context.Context, payments int) (found bench.Floor, err error) {
	s, err := b.openStage(ctx, false)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	b.report.Settings.Postgres, b.report.Settings.NATS = s.facts, s.nc.ConnectedServerVersion()
	c := b.floorConfig()
	c.Payments, c.ServerCPU = payments, s.postgresCPU
	return bench.MeasureFloor(ctx, s.pool, c)
}

// floorConfig has one connection for each writer of the pipeline: its committers and the lanes of
// its relay.
func (b *benchmark) floorConfig() bench.FloorConfig {
	const lanes = 2
	return bench.FloorConfig{
		Connections: b.cfg.Store.Committers + lanes, BatchSizes: []int{max(1, b.cfg.Store.BatchMax/2), 2 * b.cfg.Store.BatchMax},
		Gateway: benchGateway, Now: b.Now,
	}
}

// verify returns the result of `tender verify`, with `--bus` and `--ledger` if all is set: payments
// that were written as a preload are neither on the bus nor at a gateway.
func (s *benchStage) verify(ctx context.Context, all bool) (bench.Verify, error) {
	o := books.CheckOptions{FindingsMax: 10}
	report, err := books.CheckInvariants(ctx, s.pool, o)
	if err != nil {
		return bench.Verify{}, err
	}
	v := bench.Verify{Payments: report.Payments, Events: report.Events}
	if all {
		compared, err := audit.Bus(ctx, s.pool, s.js, audit.BusOptions{FindingsMax: o.FindingsMax})
		if err != nil {
			return v, err
		}
		compared.AddTo(&report, o.FindingsMax)
		v.Messages = compared.Messages
		gateways, err := audit.Gateways(ctx, s.pool, s.ledger, audit.GatewayOptions{FindingsMax: o.FindingsMax})
		if err != nil {
			return v, err
		}
		gateways.AddTo(&report, o.FindingsMax)
		v.Effects = gateways.Effects
	}
	for _, n := range report.Violated {
		v.Violations += n
	}
	for _, f := range report.Findings {
		v.Findings = append(v.Findings, fmt.Sprintf("payment %s: %s: %s", f.PaymentID, f.Invariant, f.Detail))
	}
	v.Clean = report.Clean()
	return v, nil
}

// ledger reads what the processes wrote of the effects at their gateway.
func (s *benchStage) ledger(context.Context) (map[string]audit.Ledger, error) {
	kept := make([][]bench.Effect, len(s.ledgers))
	for i, file := range s.ledgers {
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &kept[i])
		}
		if err != nil {
			return nil, fmt.Errorf("read the gateway's ledger: %w", err)
		}
	}
	var ledger audit.Ledger
	for _, e := range bench.MergeEffects(kept...) {
		entry := audit.LedgerEntry{OperationID: e.OperationID, Kind: e.Kind, Tenant: e.Tenant, PaymentID: e.PaymentID, Currency: e.Currency}
		switch e.Kind {
		case messages.OperationAuthorize, messages.OperationConfirm:
			entry.AuthorizedMinor = e.AmountMinor
			if e.Capture {
				entry.CapturedMinor = e.AmountMinor
			}
		case messages.OperationCapture:
			entry.CapturedMinor = e.AmountMinor
		case messages.OperationVoid:
			entry.ReleasedMinor = e.AmountMinor
		case messages.OperationRefund:
			entry.RefundedMinor = e.AmountMinor
		}
		ledger.Entries = append(ledger.Entries, entry)
	}
	return map[string]audit.Ledger{benchGateway: ledger}, nil
}
