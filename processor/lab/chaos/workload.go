package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// WorkloadConfig configures a workload. Zero values mean the defaults.
type WorkloadConfig struct {
	// Seed determines the commands: payments, amounts, cards and faults, and their order.
	Seed uint64
	// Tenants own the payments; none means acme and globex.
	Tenants []string
	// Payments is the number of payments, with about four commands each; 0 means no end.
	Payments int
	// Duration is the time for which new commands are published; 0 means until the plan ends.
	Duration time.Duration
	// Rate is the number of commands for each second; 0 means no limit.
	Rate int
	// InFlight is the limit of publications that wait for their acknowledgement; 0 means 64.
	InFlight int
	// AckWait is the wait before the same message is published again; 0 means 2 s.
	AckWait time.Duration
	// AnswerWait is the wait for the answer to a command, after which the rest of the plan of its
	// payment is given up; 0 means 30 s.
	AnswerWait time.Duration
	// Webhooks means that the gateways send notifications, so the plan may contain cases that only
	// a webhook reveals.
	Webhooks bool
	// Now is the clock; required.
	Now func() time.Time
}

func (c WorkloadConfig) withDefaults() (WorkloadConfig, error) {
	if c.Now == nil {
		return c, errors.New("a workload needs a clock")
	}
	if len(c.Tenants) == 0 {
		c.Tenants = []string{"acme", "globex"}
	}
	for _, tenant := range c.Tenants {
		if err := messages.ValidateTenant(tenant); err != nil {
			return c, err
		}
	}
	c.InFlight = cmp.Or(c.InFlight, 64)
	c.AckWait = cmp.Or(c.AckWait, 2*time.Second)
	c.AnswerWait = cmp.Or(c.AnswerWait, 30*time.Second)
	if c.Payments < 0 || c.Duration < 0 || c.Rate < 0 || c.InFlight < 0 || c.AckWait < 0 || c.AnswerWait < 0 {
		return c, errors.New("a number of the workload is negative")
	}
	return c, nil
}

// Workload publishes the commands of a plan, each payment's one after the other: the next when the
// one before was answered on the stream of events, which Follow brings. The configuration
// determines the commands, but not the times of arrival.
type Workload struct {
	config WorkloadConfig
	plan   plan
	buses  []jetstream.JetStream
	record *Record
	seen   *sightings
	turn   atomic.Uint64
	// slots bound the publications under way.
	slots chan struct{}

	mu sync.Mutex
	// acknowledged holds the acknowledged messages of each script in their order, by its index, for
	// Replay.
	acknowledged map[int][]numbered
}

// numbered is a message with its place in the plan.
type numbered struct {
	planned
	number int
}

// NewWorkload returns a workload that publishes through the given connections, in turn. The record
// should begin with the Run of the same configuration.
func NewWorkload(buses []jetstream.JetStream, record *Record, c WorkloadConfig) (*Workload, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("make workload: %w", err)
	}
	if len(buses) == 0 {
		return nil, errors.New("make workload: there is no connection to publish on")
	}
	seen := newSightings()
	if record != nil {
		record.watch(seen.note)
	}
	return &Workload{
		config: c, buses: buses, record: record, seen: seen, slots: make(chan struct{}, c.InFlight), acknowledged: map[int][]numbered{},
		plan: plan{seed: c.Seed, tenants: c.Tenants, payments: c.Payments, webhooks: c.Webhooks},
	}, nil
}

// Run returns the first line of the record of a workload.
func (c WorkloadConfig) Run() (Run, error) {
	c, err := c.withDefaults()
	if err != nil {
		return Run{}, fmt.Errorf("begin record: %w", err)
	}
	return Run{Seed: c.Seed, Tenants: c.Tenants, Webhooks: c.Webhooks, Began: c.Now().UTC()}, nil
}

// scripts returns the limit of payments under way, most of which wait for an answer: four for each
// publication in flight, and no more than get a command within about two seconds at the given rate.
func (c *WorkloadConfig) scripts() int {
	if c.Rate == 0 {
		return 4 * c.InFlight
	}
	return min(4*c.InFlight, max(16, 2*c.Rate))
}

// Run publishes the plan and returns when every payment has had its commands, or its producer has
// given up waiting for an answer. It repeats a message without acknowledgement under the same id
// until the context ends. It then gives up the other messages and records them as not acknowledged:
// nothing was promised for them. It may be called once.
func (w *Workload) Run(ctx context.Context) {
	until := ctx
	if w.config.Duration > 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithTimeout(ctx, w.config.Duration)
		defer cancel()
	}
	pace := newPace(w.config.Rate)
	defer pace.stop()
	scripts := make(chan struct{}, w.config.scripts())
	var performing sync.WaitGroup
	defer performing.Wait()
	for i := 0; ; i++ {
		s := w.plan.script(i)
		if s == nil || !take(until, scripts) {
			return
		}
		performing.Go(func() {
			defer func() { <-scripts }()
			w.perform(ctx, until, pace, s)
		})
	}
}

// perform takes the steps of one script. It begins no step after until has ended.
func (w *Workload) perform(ctx, until context.Context, pace *pace, s *script) {
	send := func(c planned, number int) bool {
		if !pace.wait(until) || !take(until, w.slots) {
			return false
		}
		defer func() { <-w.slots }()
		if !w.publish(ctx, c.msg, c.describe(number)) {
			return false
		}
		if !c.copied {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.acknowledged[s.index] = append(w.acknowledged[s.index], numbered{c, number})
		}
		return true
	}
	for n := range s.steps {
		step := &s.steps[n]
		if step.reviewed {
			operation, ok := w.reviewed(until, s.id)
			if !ok {
				return
			}
			step.planned = s.reviewedBy(step.command, operation)
		}
		from := w.seen.version(step.paymentID)
		if !send(step.planned, s.number(n)) {
			return
		}
		for _, again := range step.copies {
			if !send(again, s.number(n)) {
				return
			}
		}
		if !s.impatient && step.command != "" && !w.answered(until, step, from) {
			return
		}
	}
}

// answered waits for the answer to a step, and for what follows it by itself. It returns false if
// the rest of the script no longer fits: there is no answer, or another than planned.
func (w *Workload) answered(ctx context.Context, s *step, from int64) bool {
	ctx, cancel := context.WithTimeout(ctx, w.config.AnswerWait)
	defer cancel()
	var by messages.EventType
	answered := w.seen.await(ctx, s.paymentID, func(e *Seen) bool {
		by = e.Type
		return e.Version > from && answers(s.command, e.Type)
	})
	switch {
	case !answered, (by == messages.EventCommandRejected) != (s.refusal != ""):
		return false
	case by == messages.EventPaymentVoidFailed, by == messages.EventPaymentCaptureFailed, by == messages.EventPaymentConfirmFailed,
		by == messages.EventPaymentCompensationFailed,
		by == messages.EventPaymentReviewOpened && s.then != by:
		return false
	}
	return s.then == "" || w.seen.await(ctx, s.paymentID, func(e *Seen) bool { return e.Version > from && e.Type == s.then })
}

// reviewed waits for the review of a payment, and returns the operation that is in it.
func (w *Workload) reviewed(ctx context.Context, paymentID uuid.UUID) (operation string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, w.config.AnswerWait)
	defer cancel()
	ok = w.seen.await(ctx, paymentID, func(e *Seen) bool {
		operation = e.OperationID
		return e.Type == messages.EventPaymentReviewOpened && operation != ""
	})
	return operation, ok
}

// answers reports whether an event ends a command of that name.
func answers(command messages.CommandName, event messages.EventType) bool {
	switch event {
	case messages.EventCommandRejected:
		return true
	case messages.EventPaymentReviewOpened:
		return command != messages.CommandResolve && command != messages.CommandCompensate
	case messages.EventPaymentCaptured:
		return command == messages.CommandCreate || command == messages.CommandConfirm || command == messages.CommandCapture
	case messages.EventPaymentAuthorized, messages.EventPaymentDeclined, messages.EventPaymentFailed:
		return command == messages.CommandCreate || command == messages.CommandConfirm
	case messages.EventPaymentActionRequired:
		return command == messages.CommandCreate
	case messages.EventPaymentConfirmFailed:
		return command == messages.CommandConfirm
	case messages.EventPaymentCaptureFailed:
		return command == messages.CommandCapture
	case messages.EventPaymentVoided, messages.EventPaymentVoidFailed:
		return command == messages.CommandVoid
	case messages.EventRefundSucceeded, messages.EventRefundFailed:
		return command == messages.CommandRefund
	case messages.EventPaymentOutcomeResolved:
		return command == messages.CommandResolve
	case messages.EventPaymentCompensated, messages.EventPaymentCompensationFailed:
		return command == messages.CommandCompensate
	default:
		return false
	}
}

// Replay publishes a share, from 0 to 1, of the acknowledged messages once more, under their first
// message ids and each payment's in their order, and returns the number of these messages. After
// the duplicate window of the stream, JetStream stores them again, and Tender must recognize them.
// Producers do the same when the bus has lost commands. It may be called while Run runs.
func (w *Workload) Replay(ctx context.Context, share float64) int {
	random := rand.New(rand.NewPCG(w.config.Seed, 0)) //nolint:gosec // G404: it has to be repeatable
	replayed := 0
	var publishing sync.WaitGroup
	defer publishing.Wait()
	for _, script := range w.acknowledgedSoFar() {
		chosen := slices.DeleteFunc(slices.Clone(script), func(numbered) bool { return random.Float64() >= share })
		replayed += len(chosen)
		if !take(ctx, w.slots) {
			return replayed
		}
		publishing.Go(func() {
			defer func() { <-w.slots }()
			for _, c := range chosen {
				sent := c.describe(c.number)
				sent.Copy = CopyReplay
				w.publish(ctx, c.msg, sent)
			}
		})
	}
	return replayed
}

// acknowledgedSoFar returns the scripts in the order of the plan.
func (w *Workload) acknowledgedSoFar() (all [][]numbered) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, index := range slices.Sorted(maps.Keys(w.acknowledged)) {
		all = append(all, slices.Clone(w.acknowledged[index]))
	}
	return all
}

func take(ctx context.Context, slots chan<- struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// The pauses between tries to publish one message.
const (
	retryPause    = 50 * time.Millisecond
	retryPauseMax = time.Second
)

// publish publishes one message until it is acknowledged or the context ends, and records it. It
// reports whether it was acknowledged.
func (w *Workload) publish(ctx context.Context, msg *nats.Msg, sent Sent) bool {
	sent.At = w.config.Now().UTC()
	for pause := retryPause; ; pause = min(2*pause, retryPauseMax) {
		sent.Tries++
		ack, err := w.publishOnce(ctx, msg)
		if err == nil {
			sent.Acknowledged, sent.AcknowledgedAt = true, w.config.Now().UTC()
			sent.Stream, sent.Sequence, sent.Duplicate = ack.Stream, ack.Sequence, ack.Duplicate
			break
		}
		sent.Error = err.Error()
		if !retry.Sleep(ctx, pause) {
			break
		}
	}
	w.record.Sent(sent)
	return sent.Acknowledged
}

// publishOnce publishes on the next connection. The retries of the library are off, so every try
// is counted.
func (w *Workload) publishOnce(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, w.config.AckWait)
	defer cancel()
	js := w.buses[w.turn.Add(1)%uint64(len(w.buses))]
	return js.PublishMsg(ctx, &nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, jetstream.WithRetryAttempts(0))
}

// paceTick is the interval at which a pace releases items.
const paceTick = 10 * time.Millisecond

// pace releases a number of items each second, and does not catch up after a delay.
type pace struct {
	mu     sync.Mutex
	ticker *time.Ticker // nil if there is no limit
	// perTick is the number of items for each tick, in thousandths; left is the rest in the
	// present tick.
	perTick, left int
}

func newPace(perSecond int) *pace {
	if perSecond == 0 {
		return &pace{}
	}
	return &pace{ticker: time.NewTicker(paceTick), perTick: perSecond * int(paceTick/time.Millisecond)}
}

func (p *pace) wait(ctx context.Context) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.ticker != nil && p.left < 1000 {
		select {
		case <-p.ticker.C:
			p.left += p.perTick
		case <-ctx.Done():
			return false
		}
	}
	p.left -= 1000
	return ctx.Err() == nil
}

func (p *pace) stop() {
	if p.ticker != nil {
		p.ticker.Stop()
	}
}
