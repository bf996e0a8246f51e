package chaos

import (
	"cmp"
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
	if c.Payments < 0 || c.Duration < 0 || c.Rate < 0 || c.InFlight < 0 || c.AckWait < 0 {
		return c, errors.New("a number of the workload is negative")
	}
	return c, nil
}

// Workload publishes the commands of a plan. The configuration determines the commands, but not
// the times of arrival.
type Workload struct {
	config WorkloadConfig
	plan   plan
	buses  []jetstream.JetStream
	record *Record
	turn   atomic.Uint64

	mu sync.Mutex
	// acknowledged tells for each number whether its message was acknowledged, so Replay may
	// repeat it.
	acknowledged []bool
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

// Run publishes the plan and returns when every message is acknowledged. It repeats a message
// without acknowledgement under the same id until the context ends. It then gives up the other
// messages and records them as not acknowledged: nothing was promised for them. It may be called
// once.
func (w *Workload) Run(ctx context.Context) {
	until := ctx
	if w.config.Duration > 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithTimeout(ctx, w.config.Duration)
		defer cancel()
	}
	w.publishAll(ctx, until, w.config.Rate, func(*Sent) choice { return chosen })
}

// Replay publishes a share, from 0 to 1, of the acknowledged messages once more, under their first
// message ids, and returns the number of these messages. After the duplicate window of the stream,
// JetStream stores them again, and Tender must recognize them. Producers do the same when the bus
// has lost commands. It may be called while Run runs.
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

// choice tells whether to publish a message of the plan.
type choice int

const (
	chosen choice = iota
	skipped
	// atEnd means that no later message is chosen either.
	atEnd
)

// publishAll publishes the chosen messages of the plan at the given rate (0: no limit), and begins
// no message after until has ended.
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

// publishOnce publishes on the next connection. The retries of the library are off, so every try
// is counted.
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

// paceTick is the interval at which a pace releases items.
const paceTick = 10 * time.Millisecond

// pace releases a number of items each second, and does not catch up after a delay.
type pace struct {
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
