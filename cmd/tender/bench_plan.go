package main

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/bench"
)

// benchPlan is how much of everything is measured.
type benchPlan struct {
	floor, payments, slow, mixed, scale int // payments
	// latencySeconds is for each rate; rates are fixed ones, beside half of the maximum.
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

// scaled is the plan with as many payments in the run of throughput, and everything else in proportion.
func (p benchPlan) scaled(payments int) benchPlan {
	if payments == 0 {
		return p
	}
	of := func(n int) int { return max(1, n*payments/p.payments) }
	p.floor, p.slow, p.mixed, p.scale, p.backlog = of(p.floor), of(p.slow), of(p.mixed), of(p.scale), of(p.backlog)
	p.latencyFor = max(latencyLeast, p.latencyFor*time.Duration(payments)/time.Duration(p.payments))
	p.backlogFor = max(latencyLeast, p.backlogFor*time.Duration(payments)/time.Duration(p.payments))
	p.payments = payments
	return p
}

// latencyLeast is the shortest time for which anything is measured.
const latencyLeast = 250 * time.Millisecond

// benchPart is one of the things that can be measured.
type benchPart struct {
	name, about string
	measure     func(*benchmark, context.Context) error
	// ownNATS says that it takes a NATS server of the benchmark's own.
	ownNATS bool
}

func benchParts() []benchPart {
	return []benchPart{
		{"floor", "what PostgreSQL takes from as many connections in plain batches", (*benchmark).measureFloor, false},
		{"throughput", "creates with automatic capture against a gateway that answers at once", runsOf(func(b *benchmark) []benchRun {
			return []benchRun{{name: bench.RunThroughput, payments: b.plan.payments}}
		}), false},
		{"sync", "the same with sync_interval: always on NATS", runsOf(func(b *benchmark) []benchRun {
			return []benchRun{{name: bench.RunSyncAlways, payments: b.plan.payments, syncAlways: true}}
		}), true},
		{"gateway", "the same with gateways that take their time", runsOf(slowGateways), false},
		{"mixed", "create, capture and refund, 5 % declined, 1 % without an answer", runsOf(func(b *benchmark) []benchRun {
			return []benchRun{{name: "mixed", payments: b.plan.mixed, mixed: true, gateway: bench.GatewayConfig{Declined: 50, Unknown: 10}}}
		}), false},
		{"latency", "from the producer's publish to the event's arrival, at fixed rates", (*benchmark).measureLatency, false},
		{"scale", "the same payments with 1, 2 and 4 processes", runsOf(scaledRuns), false},
		{"backlog", "many more commands than can be processed meanwhile", runsOf(func(b *benchmark) []benchRun {
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

// slowGateways need many commands in progress at once.
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

// benchSlotsSlow is enough for some thousand payments a second with gateways that take a good part of one.
const benchSlotsSlow = 8192

func scaledRuns(b *benchmark) []benchRun {
	var all []benchRun
	for _, n := range []int{1, 2, 4} {
		all = append(all, benchRun{name: fmt.Sprint("processes_", n), processes: n, payments: b.plan.scale})
	}
	return all
}

// runsOf measures throughput several times.
func runsOf(which func(*benchmark) []benchRun) func(*benchmark, context.Context) error {
	return func(b *benchmark, ctx context.Context) error {
		for _, r := range which(b) {
			b.remark("%s: %d payments, the gateway answers %s", r.name, r.payments, r.gateway)
			found, err := b.throughput(ctx, r)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			b.remark("  %.0f payments/s", found.PerSecond)
			b.report.Runs = append(b.report.Runs, found)
		}
		return nil
	}
}

func (b *benchmark) measureFloor(ctx context.Context) error {
	b.remark("floor: %d payments", b.plan.floor)
	found, err := b.floor(ctx, b.plan.floor)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	b.remark("  %.0f payments/s", found.PerSecond)
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
		b.remark("latency at %.0f/s", p.rate)
		found, err := b.latency(ctx, p.name, p.rate, b.plan.latencyFor)
		if err != nil {
			return fmt.Errorf("latency at %s: %w", p.name, err)
		}
		b.remark("  p50 %.1f ms, p99 %.1f ms", found.P50, found.P99)
		b.report.Latencies = append(b.report.Latencies, found)
	}
	return nil
}
