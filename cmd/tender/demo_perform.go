package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// demoInstances is how many instances of every role share the work.
const demoInstances = 2

// tuneDemo shortens what a person would wait for: how long an answer may take, and how soon an unknown outcome is asked
// about. It stays long enough that a busy machine is not taken for a broken gateway.
func tuneDemo(cfg *config.Config) {
	const timeout = 3 * time.Second
	cfg.NATS.Name = "tender demo"
	name := cfg.Routing.Default
	simulated := cfg.Gateways[name]
	simulated.Timeouts = config.Timeouts{Authorize: timeout, Capture: timeout, Void: timeout, Refund: timeout, Lookup: timeout}
	cfg.Gateways[name] = simulated
	cfg.Retry.UnknownReplays = []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second}
	cfg.Retry.UnknownLookups = []time.Duration{5 * time.Second, 10 * time.Second}
	cfg.Scheduler.PollInterval = 50 * time.Millisecond
}

// demoReport is the result of the demo.
type demoReport struct {
	// OK says that nothing is other than expected.
	OK         bool            `json:"ok"`
	DurationMS int64           `json:"duration_ms"`
	Payments   []paymentResult `json:"payments"`
	Gateway    gatewayBooks    `json:"gateway"`
	// Verify is what `tender verify` would say.
	Verify store.Report `json:"verify"`
}

// gatewayBooks is what the gateway's own ledger says, over all payments.
type gatewayBooks struct {
	Calls   int `json:"calls"`
	Effects int `json:"effects"`
	// Twice counts operations that took effect more than once.
	Twice      int      `json:"operations_effected_twice"`
	Mismatches []string `json:"mismatches"`
}

// perform runs the scenarios in a sandbox, which is gone when it returns.
func perform(ctx context.Context, scenarios []scenario, log *zap.Logger, p progress) (r demoReport, err error) {
	box, err := openSandbox(ctx, sandboxOptions{tune: tuneDemo, step: p.done})
	if err != nil {
		return demoReport{}, err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	err = box.runInstances(ctx, demoInstances, log, func(ctx context.Context) error {
		p.done("%d instances of worker, relay and scheduler", demoInstances)
		var err error
		r, err = performOn(ctx, box, scenarios, p)
		return err
	})
	if err == nil {
		p.done("drained")
	}
	return r, err
}

// performOn plays the scenarios as a producer and a consumer of the bus, waits until all has come to rest, and looks.
func performOn(ctx context.Context, box *sandbox, scenarios []scenario, p progress) (demoReport, error) {
	nc, err := dialNATS(box.config.NATS)
	if err != nil {
		return demoReport{}, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return demoReport{}, fmt.Errorf("use JetStream: %w", err)
	}
	client, err := messages.NewClient(nc, messages.ClientConfig{Tenant: demoTenant, Source: "tender-demo"})
	if err != nil {
		return demoReport{}, err
	}
	pool, err := dialPool(ctx, box.config.Postgres, box.config.NATS.Name)
	if err != nil {
		return demoReport{}, err
	}
	defer pool.Close()
	seen, err := newWitness(ctx, js)
	if err != nil {
		return demoReport{}, err
	}
	defer seen.stop()

	on := &stage{js: js, client: client, witness: seen}
	stories, err := on.playAll(ctx, scenarios, func(told *story) {
		if told.unanswered() {
			p.failed("%s: a command was not answered", told.name)
			return
		}
		p.done("%s", told.name)
	})
	if err != nil {
		return demoReport{}, err
	}
	if err := on.settle(ctx, pool); err != nil {
		return demoReport{}, err
	}
	return inspect(ctx, pool, seen, box.simulator.Snapshot(), stories)
}

// inspect gathers what was left behind everywhere and compares it with what the scenarios expect.
func inspect(ctx context.Context, pool *pgxpool.Pool, seen *witness, ledger sim.Snapshot, stories []*story) (demoReport, error) {
	books := store.New(pool, store.Config{}, zap.NewNop())
	defer books.Close()
	r := demoReport{Gateway: auditGateway(ledger, stories)}
	for _, told := range stories {
		found, err := gather(ctx, books, seen, ledger, told)
		if err != nil {
			return demoReport{}, err
		}
		r.Payments = append(r.Payments, examine(told, found))
	}
	var err error
	if r.Verify, err = store.CheckInvariants(ctx, pool, store.CheckOptions{}); err != nil {
		return demoReport{}, err
	}
	r.OK = r.asExpected() == len(r.Payments) && r.Gateway.sound() && r.Verify.Clean()
	return r, nil
}

// asExpected counts the payments that came out as their scenarios expect.
func (r *demoReport) asExpected() int {
	n := 0
	for _, p := range r.Payments {
		if len(p.Mismatches) == 0 {
			n++
		}
	}
	return n
}

// gather collects what one payment left behind.
func gather(ctx context.Context, books *store.Store, seen *witness, ledger sim.Snapshot, told *story) (evidence, error) {
	found := evidence{bus: seen.of(told.paymentID), letters: map[uint64]buried{}}
	var err error
	if found.payment, err = books.Get(ctx, demoTenant, told.paymentID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return evidence{}, err
	}
	if found.history, err = books.History(ctx, demoTenant, told.paymentID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return evidence{}, err
	}
	for _, p := range told.played {
		if letter, dead := seen.letter(p.sequence); dead {
			found.letters[p.sequence] = letter
		}
	}
	found.moved, _ = ledger.Payment(told.paymentID)
	for _, op := range ledger.Operations {
		if op.PaymentID == told.paymentID {
			found.operations = append(found.operations, op)
		}
	}
	return found, nil
}

// auditGateway sums up the gateway's books, and finds what is in them that nobody asked for.
func auditGateway(ledger sim.Snapshot, stories []*story) gatewayBooks {
	books := gatewayBooks{Effects: len(ledger.Entries), Mismatches: []string{}}
	known := make(map[uuid.UUID]bool, len(stories))
	for _, told := range stories {
		known[told.paymentID] = true
	}
	for _, op := range ledger.Operations {
		books.Calls += op.Requests + op.Lookups
		if op.Effects > 1 {
			books.Twice++
		}
		if !known[op.PaymentID] {
			books.Mismatches = append(books.Mismatches, fmt.Sprintf("operation %s of the unknown payment %s", op.OperationID, op.PaymentID))
		}
	}
	return books
}

// sound reports whether the gateway did nothing twice and nothing that nobody asked for.
func (b gatewayBooks) sound() bool { return len(b.Mismatches) == 0 && b.Twice == 0 }
