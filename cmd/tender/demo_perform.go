package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// demoReport is the result of the demo.
type demoReport struct {
	// OK says that nothing is other than expected.
	OK         bool            `json:"ok"`
	DurationMS int64           `json:"duration_ms"`
	Payments   []paymentResult `json:"payments"`
	Gateways   []gatewayBooks  `json:"gateways"`
	// Outage is nil if no scenario was about one.
	Outage *outageReport `json:"outage,omitempty"`
	// Verify is what `tender verify` would say.
	Verify books.Report `json:"verify"`
}

// gatewayBooks is what a gateway's own ledger says, over all payments.
type gatewayBooks struct {
	Name    string `json:"name"`
	Calls   int    `json:"calls"`
	Effects int    `json:"effects"`
	// Twice counts operations that took effect more than once.
	Twice      int      `json:"operations_effected_twice"`
	Mismatches []string `json:"mismatches"`
}

// perform runs the scenarios in a sandbox, which is gone when it returns.
func perform(ctx context.Context, scenarios []scenario, log *zap.Logger, p progress) (r demoReport, err error) {
	box, err := openSandbox(ctx, sandboxOptions{gateways: demoGateways(), tune: tuneDemo, step: p.done})
	if err != nil {
		return demoReport{}, err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	if err := box.setRules(ctx, demoRules); err != nil {
		return demoReport{}, err
	}
	err = box.runInstances(ctx, demoInstances, log, func(ctx context.Context) error {
		p.done("%d instances of worker, relay and scheduler, one with webhook", demoInstances)
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
func performOn(ctx context.Context, box *sandbox, scenarios []scenario, p progress) (r demoReport, err error) {
	nc, err := dialNATS(box.config.NATS)
	if err != nil {
		return demoReport{}, err
	}
	defer nc.Close()
	on, err := newStage(ctx, nc)
	if err != nil {
		return demoReport{}, err
	}
	defer on.witness.stop()
	pool, err := dialPool(ctx, box.config.Postgres, box.config.NATS.Name)
	if err != nil {
		return demoReport{}, err
	}
	defer pool.Close()
	stories, err := cast(scenarios)
	if err != nil {
		return demoReport{}, err
	}
	down, err := newOutage(ctx, nc, box.simulators[0], p)
	if err != nil {
		return demoReport{}, err
	}
	defer func() { err = errors.Join(err, down.close()) }()

	if err := on.playActs(ctx, stories, down, p.follow(stories)); err != nil {
		return demoReport{}, err
	}
	if err := on.settle(ctx, pool); err != nil {
		return demoReport{}, err
	}
	if r, err = inspect(ctx, pool, on.witness, box.ledgers(), stories); err != nil {
		return demoReport{}, err
	}
	if outside(stories) {
		if err := down.catchUp(ctx); err != nil {
			return demoReport{}, err
		}
		r.Outage = down.report(r.Payments)
		r.OK = r.OK && r.Outage.sound()
	}
	return r, nil
}

// ledger is what one gateway says that it did.
type ledger struct {
	gateway string
	sim.Snapshot
}

// ledgers asks the gateways themselves.
func (s *sandbox) ledgers() []ledger {
	var all []ledger
	for _, simulator := range s.simulators {
		all = append(all, ledger{simulator.name, simulator.Snapshot()})
	}
	return all
}

// inspect gathers what was left behind everywhere and compares it with what the scenarios expect.
func inspect(ctx context.Context, pool *pgxpool.Pool, seen *witness, ledgers []ledger, stories []*story) (demoReport, error) {
	reader := store.New(pool, store.Config{}, zap.NewNop())
	defer reader.Close()
	var r demoReport
	for _, l := range ledgers {
		r.Gateways = append(r.Gateways, auditGateway(l, stories))
	}
	for _, told := range stories {
		found, err := gather(ctx, reader, seen, ledgers, told)
		if err != nil {
			return demoReport{}, err
		}
		r.Payments = append(r.Payments, examine(told, found))
	}
	var err error
	if r.Verify, err = books.CheckInvariants(ctx, pool, books.CheckOptions{}); err != nil {
		return demoReport{}, err
	}
	r.OK = r.asExpected() == len(r.Payments) && !slices.ContainsFunc(r.Gateways, gatewayBooks.unsound) && r.Verify.Clean()
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
func gather(ctx context.Context, reader *store.Store, seen *witness, ledgers []ledger, told *story) (evidence, error) {
	found := evidence{bus: seen.of(told.paymentID), letters: map[uint64]buried{}, moved: map[string]sim.PaymentTotals{}}
	var err error
	if found.payment, err = reader.Get(ctx, demoTenant, told.paymentID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return evidence{}, err
	}
	if found.history, err = reader.History(ctx, demoTenant, told.paymentID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return evidence{}, err
	}
	for _, p := range told.played {
		if letter, dead := seen.letter(p.sequence); dead {
			found.letters[p.sequence] = letter
		}
	}
	for _, l := range ledgers {
		if totals, knows := l.Payment(told.paymentID); knows {
			found.moved[l.gateway] = totals
		}
		for _, op := range l.Operations {
			if op.PaymentID == told.paymentID {
				found.operations = append(found.operations, op)
			}
		}
	}
	return found, nil
}

// auditGateway sums up a gateway's books, and finds what is in them that nobody asked for.
func auditGateway(l ledger, stories []*story) gatewayBooks {
	books := gatewayBooks{Name: l.gateway, Effects: len(l.Entries), Mismatches: []string{}}
	known := make(map[uuid.UUID]bool, len(stories))
	for _, told := range stories {
		known[told.paymentID] = true
	}
	for _, op := range l.Operations {
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

// unsound reports whether the gateway did something twice, or something that nobody asked for.
func (b gatewayBooks) unsound() bool { return len(b.Mismatches) > 0 || b.Twice > 0 }
