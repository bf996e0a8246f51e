package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Sources are what is held against each other.
type Sources struct {
	// Pool is a database with the events; it must allow three connections.
	Pool *store.Pool
	// JetStream is the bus.
	JetStream jetstream.JetStream
	// Ledgers are those of all gateways; nil leaves them out.
	Ledgers audit.Ledgers
	// Record is what the client did and saw.
	Record *Recorded
	// Drain is what Await said; nil if nobody waited, and then what is still on its way is no violation.
	Drain *Drain
}

// CheckConfig tunes Check. Zero values mean the defaults.
type CheckConfig struct {
	// FindingsMax is how many findings each item lists; 0 means 100. All violations are counted.
	FindingsMax int
	// StaleAfter is the age from which what waits counts as stuck; 0 means a minute.
	StaleAfter time.Duration
	// LedgersWithin is how long the ledgers may take to agree with the payments: what a gateway takes back, it takes back, and tells
	// of, a moment later. 0 means 15 s.
	LedgersWithin time.Duration
	// Progress is told what is being looked at. May be nil.
	Progress func(what string)
}

func (c CheckConfig) withDefaults() CheckConfig {
	if c.FindingsMax == 0 {
		c.FindingsMax = 100
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	c.StaleAfter = orDuration(c.StaleAfter, time.Minute)
	c.LedgersWithin = orDuration(c.LedgersWithin, 15*time.Second)
	return c
}

// Check holds the sources against each other and against everything that must always hold. It may be repeated. The record is held in
// memory, and so is what became of each command: about a kilobyte for each.
//
// An error means that the check could not be completed, not that something is wrong.
func Check(ctx context.Context, s Sources, c CheckConfig) (Verdict, error) {
	c = c.withDefaults()
	x := &examination{Sources: s, config: c, judge: newJudge(c.FindingsMax)}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the gateways' ledgers", x.compareLedgers}, // first: they may need a moment to agree, after which all is at rest
		{"the event store", x.checkInvariants},
		{"the stream of events", x.compareBus},
		{"the dead letters", x.readDeadLetters},
		{"the workers' consumer", x.readConsumer},
		{"the client's commands", x.compareCommands},
		{"the client's events", x.compareSeen},
	} {
		c.Progress(step.what)
		if err := step.do(ctx); err != nil {
			return x.verdict(), fmt.Errorf("check %s: %w", step.what, err)
		}
	}
	x.judgeDrain()
	return x.verdict(), nil
}

// examination is one run of Check.
type examination struct {
	Sources
	*judge
	config CheckConfig
	// letters are the reasons of the dead letters, by the message ids of their originals. Sequences are no names: a stream that was
	// lost counts anew.
	letters map[string]string
	// settledTo is the sequence up to which every command has been settled.
	settledTo uint64
}

func (x *examination) checkInvariants(ctx context.Context) error {
	report, err := books.CheckInvariants(ctx, x.Pool, books.CheckOptions{
		StaleAfter: x.config.StaleAfter, FindingsMax: x.config.FindingsMax * len(itemNames()),
	})
	x.take(report.Checked, report.Violated, report.Findings)
	x.Figures.Payments, x.Figures.Events = report.Payments, report.Events
	return err
}

func (x *examination) compareBus(ctx context.Context) error {
	report, err := audit.Bus(ctx, x.Pool, x.JetStream, audit.BusOptions{FindingsMax: x.config.FindingsMax * len(itemNames())})
	x.take(report.Checked, report.Violated, report.Findings)
	x.Figures.EventsOnBus, x.Figures.EventsRepeated = report.Messages, report.Repeated
	return err
}

// ledgersPause is how long to wait before the ledgers are looked at again.
const ledgersPause = 500 * time.Millisecond

// compareLedgers compares until they agree or have had their time.
func (x *examination) compareLedgers(ctx context.Context) error {
	if x.Ledgers == nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, x.config.LedgersWithin)
	defer cancel()
	for {
		report, err := audit.Gateways(ctx, x.Pool, x.Ledgers, audit.GatewayOptions{FindingsMax: x.config.FindingsMax * len(itemNames())})
		if err != nil {
			return err
		}
		if report.Clean() || final(&report) || !retry.Sleep(bounded, ledgersPause) {
			x.take(report.Checked, report.Violated, report.Findings)
			x.Figures.Operations, x.Figures.GatewayCalls, x.Figures.GatewayEffects = report.Operations, report.Requests, report.Effects
			return ctx.Err()
		}
	}
}

// final reports whether something was found that no later message from a gateway can put right.
func final(report *audit.GatewayReport) bool {
	for invariant := range report.Violated {
		if invariant != audit.GatewaySums {
			return true
		}
	}
	return false
}

func (x *examination) readDeadLetters(ctx context.Context) error {
	x.letters = map[string]string{}
	return deadletter.List(ctx, x.JetStream, deadletter.Filter{}, func(l deadletter.Letter) bool {
		if l.Stream == messages.StreamCommands {
			x.letters[l.Headers.Get(messages.HeaderMessageID)] = l.Reason
		}
		return true
	})
}

func (x *examination) readConsumer(ctx context.Context) error {
	consumer, err := x.JetStream.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		return fmt.Errorf("look at the workers' consumer: %w", err)
	}
	info := consumer.CachedInfo()
	x.settledTo = info.AckFloor.Stream
	if info.NumPending == 0 && info.NumAckPending == 0 {
		x.settledTo = max(x.settledTo, info.Delivered.Stream)
	}
	if more := int64(info.Delivered.Consumer) - int64(info.Delivered.Stream); more > 0 { //nolint:gosec // G115: counts
		x.Figures.Redeliveries = more
	}
	return nil
}

func (x *examination) judgeDrain() {
	if x.Drain == nil {
		return
	}
	item := x.Item(Liveness)
	item.Checked++
	if x.Drain.Done {
		return
	}
	item.Violated++
	for _, what := range x.Drain.Hanging {
		x.list(item, Finding{Invariant: books.Invariant(Liveness), Detail: what})
	}
}
