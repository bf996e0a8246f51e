package chaos

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Sources are the data that Check compares.
type Sources struct {
	// Pool is a database with the events; it must allow three connections.
	Pool *store.Pool
	// JetStream is the bus.
	JetStream jetstream.JetStream
	// Ledgers reads the ledgers of all gateways; nil leaves them out.
	Ledgers audit.Ledgers
	// Record is the record of the client.
	Record *Recorded
	// Drain is the result of Await. nil means no Await; unfinished work is then no violation.
	Drain *Drain
	// Faults were injected during the run. They excuse what their trace is seen of.
	Faults []Injection
}

// CheckConfig tunes Check. Zero values mean the defaults.
type CheckConfig struct {
	// FindingsMax is the limit of findings in each item; 0 means 100. All violations count.
	FindingsMax int
	// StaleAfter is the age from which waiting work counts as stuck; 0 means a minute.
	StaleAfter time.Duration
	// LedgersWithin is the time for the ledgers to agree with the payments, since a gateway
	// reverses a charge, and reports it, with a delay. 0 means 15 s.
	LedgersWithin time.Duration
	// Ladder is the age of an unknown outcome at which a person is asked; 0 means that no outcome
	// may stay unknown for that long.
	Ladder time.Duration
	// Progress receives the name of each source. It may be nil.
	Progress func(what string)
}

func (c CheckConfig) withDefaults() CheckConfig {
	c.FindingsMax = cmp.Or(c.FindingsMax, 100)
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	c.StaleAfter = cmp.Or(c.StaleAfter, time.Minute)
	c.LedgersWithin = cmp.Or(c.LedgersWithin, 15*time.Second)
	return c
}

// Check compares the sources with each other and with the invariants. It may be repeated. It keeps
// the record and the outcome of each command in memory: about a kilobyte for each command.
//
// An error means that the check could not be completed, not that something is wrong.
func Check(ctx context.Context, s Sources, c CheckConfig) (Verdict, error) {
	c = c.withDefaults()
	x := &examination{Sources: s, config: c, judge: newJudge(c.FindingsMax)}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"the gateways' ledgers", x.compareLedgers}, // first: they may need a moment to agree
		{"the event store", x.checkInvariants},
		{"the stream of events", x.compareBus},
		{"the dead letters", x.readDeadLetters},
		{"the workers' consumer", x.readConsumer},
		{"the client's commands", x.compareCommands},
		{"the stream of commands", x.compareHeld}, // after those that a disk lost are known
		{"the client's events", x.compareSeen},
		{"the plans", x.comparePlans},
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
	// letters are the reasons of the dead letters, by the message ids of their originals.
	// Sequences do not identify a message: a stream that was lost starts again at 1.
	letters map[string]string
	// aged are the stretches of commands that aged out, as dead letters report them.
	aged []stretch
	// ackedTo is the sequence up to which every command is acknowledged.
	ackedTo uint64
	// answers, payments, notified and ledgers are those of the evidence for the plans.
	answers  map[slot]answer
	payments map[uuid.UUID]*payment.Payment
	notified int64
	ledgers  map[string]audit.Ledger
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

// compareHeld holds the commands that the stream still has against claims and dead letters, those
// of gateways and operators included.
func (x *examination) compareHeld(ctx context.Context) error {
	report, err := audit.Commands(ctx, x.Pool, x.JetStream, x.config.FindingsMax*len(itemNames()))
	// A command that a damaged node passed over may still be held by another one.
	findings := slices.DeleteFunc(report.Findings, func(f books.Finding) bool {
		return f.Invariant == audit.CommandsAnswered && slices.ContainsFunc(x.Lost, func(lost string) bool {
			return strings.Contains(lost, f.PaymentID.String())
		})
	})
	if n := int64(len(report.Findings) - len(findings)); n > 0 {
		report.Violated[audit.CommandsAnswered] -= n
	}
	x.take(report.Checked, report.Violated, findings)
	return err
}

// ledgersPause is the pause between two comparisons of the ledgers.
const ledgersPause = 500 * time.Millisecond

// compareLedgers compares until the ledgers agree or LedgersWithin has passed.
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
			if x.ledgers, err = x.Ledgers(ctx); err != nil {
				return err
			}
			x.take(report.Checked, report.Violated, report.Findings)
			x.Figures.Operations, x.Figures.GatewayCalls, x.Figures.GatewayEffects = report.Operations, report.Requests, report.Effects
			x.Figures.ReviewDifferences = report.Differences
			return ctx.Err()
		}
	}
}

// final reports whether a violation was found that no later message from a gateway can repair.
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
		if aged, is := stretchOf(&l); is {
			x.aged = append(x.aged, aged)
			return true
		}
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
	x.ackedTo = info.AckFloor.Stream
	if info.NumPending == 0 && info.NumAckPending == 0 {
		x.ackedTo = max(x.ackedTo, info.Delivered.Stream)
	}
	if more := int64(info.Delivered.Consumer) - int64(info.Delivered.Stream); more > 0 { //nolint:gosec // G115: counts
		x.Figures.Redeliveries = more
	}
	return nil
}

// question is a request of a client. Repetitions of one question have one answer.
type question struct {
	tenant, key string
	command     messages.CommandName
	paymentID   uuid.UUID
	payload     Hash
}

func (s *Sent) question() question {
	return question{tenant: s.Tenant, key: s.Key, command: s.Command, paymentID: s.PaymentID, payload: s.PayloadHash}
}

// slot identifies the record of an answer: under the key of the question, or beside it if the key
// was taken.
type slot struct {
	tenant, key string
	command     messages.CommandName
	conflict    string
}

func (q question) slot() slot { return slot{tenant: q.tenant, key: q.key, command: q.command} }

// besides is the slot of the refusal of a question under a key that was taken.
func (q question) besides() slot {
	s := q.slot()
	s.conflict = string(store.ConflictHash(q.payload, q.paymentID))
	return s
}

// answer is the content of a slot.
type answer struct {
	paymentID uuid.UUID
	payload   [sha256.Size]byte
	event     messages.EventType
	version   int64
}

// compareCommands looks for the outcome of every acknowledged command, and for the sender of every
// recorded one.
func (x *examination) compareCommands(ctx context.Context) error {
	asked := map[question]struct{}{}
	ids := map[string]struct{}{}
	known := map[uuid.UUID]struct{}{}
	for i := range x.Record.Sent {
		if s := &x.Record.Sent[i]; s.DeadLetter == "" {
			asked[s.question()] = struct{}{}
			ids[s.Tenant+"\x00"+s.CommandID] = struct{}{}
			known[s.PaymentID] = struct{}{}
		}
	}
	answers := map[slot]answer{}
	x.answers, x.payments = answers, map[uuid.UUID]*payment.Payment{}
	err := books.AtOneMoment(ctx, x.Pool, func(now *books.Moment) error {
		if err := now.Decided(ctx, x.Record.Tenants, func(d books.DecidedCommand) {
			answers[slot{d.Tenant, d.Key, d.Command, string(d.ConflictHash)}] = answer{d.PaymentID, d.PayloadHash, d.EventType, d.Version}
			x.compareDecided(d, asked, ids)
		}); err != nil {
			return err
		}
		return now.Payments(ctx, func(p *payment.Payment) error {
			x.comparePayment(p, known)
			return nil
		})
	})
	if err != nil {
		return err
	}
	x.judgeSent(answers)
	return nil
}

// compareDecided looks for the sender of a decided command.
func (x *examination) compareDecided(d books.DecidedCommand, asked map[question]struct{}, ids map[string]struct{}) {
	switch d.Command {
	case messages.CommandNotify:
		if !d.Rejected {
			x.notified++
		}
		return // sent by gateways
	case messages.CommandResume:
		return // sent by Tender itself
	default:
	}
	if d.Rejected {
		x.Figures.Rejected++
	} else {
		x.Figures.Accepted++
	}
	x.Item(NeverLost).Checked++
	q := question{tenant: d.Tenant, key: d.Key, command: d.Command, paymentID: d.PaymentID, payload: d.PayloadHash}
	if _, sent := asked[q]; !sent {
		x.found(NeverLost, d.PaymentID, "a %s of %s with key %q is recorded, and no client sent it", d.Command, d.Tenant, d.Key)
		return
	}
	if _, sent := ids[d.Tenant+"\x00"+d.CausationID]; !sent && d.EventType != "" {
		x.found(NeverLost, d.PaymentID, "event %d was caused by command %q, which no client sent", d.Version, d.CausationID)
	}
}

func (x *examination) comparePayment(p *payment.Payment, known map[uuid.UUID]struct{}) {
	if !contains(x.Record.Tenants, p.Tenant) {
		return
	}
	x.payments[p.ID] = p
	if p.Status == messages.StatusReview {
		x.Figures.InReview++
	}
	if _, ours := known[p.ID]; !ours {
		x.found(NeverLost, p.ID, "there is a payment that no client asked for")
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// seenBatch is the number of events that one statement looks up.
const seenBatch = 4096

// compareSeen looks in the history for every event that the client received.
func (x *examination) compareSeen(ctx context.Context) error {
	seen := x.Record.Seen
	x.Figures.EventsSeen = int64(len(seen))
	x.Item(History).Checked += int64(len(seen))
	for len(seen) > 0 {
		batch := seen[:min(seenBatch, len(seen))]
		seen = seen[len(batch):]
		refs := make([]books.EventRef, len(batch))
		for i, s := range batch {
			refs[i] = books.EventRef{PaymentID: s.PaymentID, Version: s.Version, BodyHash: s.BodyHash}
		}
		mismatches, err := books.MatchEvents(ctx, x.Pool, refs)
		if err != nil {
			return err
		}
		for _, m := range mismatches {
			switch s := batch[m.Index]; {
			case !m.Found:
				x.found(History, s.PaymentID, "the client saw event %d (%s), which is not there", s.Version, s.Type)
			case !m.SameBody:
				x.found(History, s.PaymentID, "the client saw event %d (%s) with another body", s.Version, s.Type)
			}
		}
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
