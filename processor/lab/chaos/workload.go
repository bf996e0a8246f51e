package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// WorkloadConfig says what is to be published. Zero values mean the defaults.
type WorkloadConfig struct {
	// Seed is what the commands follow from: which payments, amounts, cards and faults, in which order.
	Seed uint64
	// Tenants are whose payments these are; none means acme and globex.
	Tenants []string
	// Payments is how many payments there are, with about four commands each; 0 means that they don't end.
	Payments int
	// Duration is for how long new commands are published; 0 means until the plan ends.
	Duration time.Duration
	// Rate is how many commands are published in a second; 0 means as many as go.
	Rate int
	// InFlight is how many publications may wait for their acknowledgement at once; 0 means 64.
	InFlight int
	// AckWait is how long one waits before the same message is published again; 0 means 2 s.
	AckWait time.Duration
	// Webhooks says that the gateways tell of what they do, so that what only a webhook brings to light may be asked of them.
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
	if c.InFlight == 0 {
		c.InFlight = 64
	}
	if c.AckWait == 0 {
		c.AckWait = 2 * time.Second
	}
	if c.Payments < 0 || c.Duration < 0 || c.Rate < 0 || c.InFlight < 0 || c.AckWait < 0 {
		return c, errors.New("a number of the workload is negative")
	}
	return c, nil
}

// Workload publishes the commands of a plan. What it publishes follows from the configuration; what arrives when does not.
type Workload struct {
	config WorkloadConfig
	plan   plan
	buses  []jetstream.JetStream
	record *Record
	turn   atomic.Uint64

	mu sync.Mutex
	// acknowledged says by number which messages were, and which of them Replay may send again.
	acknowledged []bool
}

// NewWorkload returns a workload that publishes through the connections given, in turn. The record should have been begun with
// Run of the same configuration.
func NewWorkload(buses []jetstream.JetStream, record *Record, c WorkloadConfig) (*Workload, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("make workload: %w", err)
	}
	if len(buses) == 0 {
		return nil, errors.New("make workload: there is no connection to publish on")
	}
	return &Workload{
		config: c, buses: buses, record: record,
		plan: plan{seed: c.Seed, tenants: c.Tenants, payments: c.Payments, webhooks: c.Webhooks},
	}, nil
}

// Run returns the first line of the record of a workload.
func (c WorkloadConfig) Run() (Run, error) {
	c, err := c.withDefaults()
	if err != nil {
		return Run{}, fmt.Errorf("begin record: %w", err)
	}
	return Run{Seed: c.Seed, Tenants: c.Tenants, Began: c.Now().UTC()}, nil
}

// Run publishes the plan and returns when every message was acknowledged. A message without acknowledgement is published again under
// the same id for as long as the context lives. When it ends, what is left is given up and recorded as not acknowledged:
// nothing was promised then. It may be called once.
func (w *Workload) Run(ctx context.Context) {
	until := ctx
	if w.config.Duration > 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithTimeout(ctx, w.config.Duration)
		defer cancel()
	}
	w.publishAll(ctx, until, w.config.Rate, func(*Sent) choice { return chosen })
}

// Replay publishes a share of what was acknowledged so far once more, from 0 to 1, under the message ids of the first time, and
// returns how many messages that are. After the stream's window for duplicates has passed JetStream stores them again, and it is
// for Tender to know them. It is also what a producer does when the bus has lost commands. It may be called while Run runs.
func (w *Workload) Replay(ctx context.Context, share float64) int {
	random := rand.New(rand.NewPCG(w.config.Seed, 0)) //nolint:gosec // G404: it has to be repeatable
	acknowledged, replayed := w.acknowledgedSoFar(), 0
	w.publishAll(ctx, ctx, 0, func(s *Sent) choice {
		s.Copy = CopyReplay
		switch {
		case s.Number >= len(acknowledged):
			return atEnd
		case random.Float64() < share && acknowledged[s.Number]:
			replayed++
			return chosen
		default:
			return skipped
		}
	})
	return replayed
}

func (w *Workload) acknowledgedSoFar() []bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.acknowledged)
}

// choice is what becomes of a message of the plan.
type choice int

const (
	chosen choice = iota
	skipped
	// atEnd says that nothing after it is chosen either.
	atEnd
)

// publishAll publishes the messages of the plan that are chosen, at the given rate (0 is none), and begins no more
// once until has ended.
func (w *Workload) publishAll(ctx, until context.Context, rate int, choose func(*Sent) choice) {
	pace := newPace(rate)
	defer pace.stop()
	slots := make(chan struct{}, w.config.InFlight)
	var publishing sync.WaitGroup
	defer publishing.Wait()
	number := 0
	for n := 0; ; n++ {
		group := w.plan.group(n)
		if len(group) == 0 {
			return
		}
		for _, c := range group {
			sent := c.describe(number)
			number++
			switch choose(&sent) {
			case skipped:
				continue
			case atEnd:
				return
			case chosen:
			}
			if !pace.wait(until) || !take(until, slots) {
				return
			}
			publishing.Go(func() {
				defer func() { <-slots }()
				w.publish(ctx, c.msg, sent)
			})
		}
	}
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

// publish publishes one message until it is acknowledged or the context ends, and records it.
func (w *Workload) publish(ctx context.Context, msg *nats.Msg, sent Sent) {
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
	w.note(sent)
	w.record.Sent(sent)
}

// publishOnce publishes on the next connection. The library's own retries are off: every try is counted.
func (w *Workload) publishOnce(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, w.config.AckWait)
	defer cancel()
	js := w.buses[w.turn.Add(1)%uint64(len(w.buses))]
	return js.PublishMsg(ctx, &nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data}, jetstream.WithRetryAttempts(0))
}

func (w *Workload) note(sent Sent) {
	if sent.Copy == CopyReplay {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.acknowledged) <= sent.Number {
		w.acknowledged = append(w.acknowledged, false)
	}
	w.acknowledged[sent.Number] = sent.Acknowledged
}

// paceTick is how often a pace lets something through.
const paceTick = 10 * time.Millisecond

// pace lets a number of things through in a second, and doesn't make up for time that was lost.
type pace struct {
	ticker *time.Ticker // nil if there is no limit
	// perTick is how many pass in a tick, in thousandths, and left how many still may in this one.
	perTick, left int
}

func newPace(perSecond int) *pace {
	if perSecond == 0 {
		return &pace{}
	}
	return &pace{ticker: time.NewTicker(paceTick), perTick: perSecond * int(paceTick/time.Millisecond)}
}

func (p *pace) wait(ctx context.Context) bool {
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
