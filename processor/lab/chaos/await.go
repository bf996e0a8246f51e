package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// AwaitConfig says how long to wait for the system to come to rest. Zero values mean the defaults.
type AwaitConfig struct {
	// Timeout is how long to wait at most; 0 means a minute.
	Timeout time.Duration
	// Horizon is how far ahead a timer counts as something to wait for; 0 means an hour. What is due later, such as the expiry
	// of an authorization, is rest.
	Horizon time.Duration
	// Poll is how often to look; 0 means 100 ms.
	Poll time.Duration
	// NamesMax is how many of the commands and payments that hang are named; 0 means 20.
	NamesMax int
	// Progress is told in words what is still open and why, every ProgressEvery (0 means 5 s). It may be nil. It is called by Await, in turn.
	Progress      func(waited time.Duration, open []string)
	ProgressEvery time.Duration
	// Now is the clock; required.
	Now func() time.Time
}

func (c AwaitConfig) withDefaults() AwaitConfig {
	c.Timeout = orDuration(c.Timeout, time.Minute)
	c.Horizon = orDuration(c.Horizon, time.Hour)
	c.Poll = orDuration(c.Poll, 100*time.Millisecond)
	c.ProgressEvery = orDuration(c.ProgressEvery, 5*time.Second)
	if c.Progress == nil {
		c.Progress = func(time.Duration, []string) {}
	}
	if c.NamesMax == 0 {
		c.NamesMax = 20
	}
	return c
}

func orDuration(d, byDefault time.Duration) time.Duration {
	if d == 0 {
		return byDefault
	}
	return d
}

// Drain is how the system came to rest.
type Drain struct {
	// Done says that nothing was left to do for anyone but a person; Took is how long that took, or how long it was waited for.
	Done bool          `json:"done"`
	Took time.Duration `json:"took_ns"`
	// Commands and AckPending are those that no worker has taken, and those that some worker has. Outbox counts rows, and Waiting
	// names calls and timers.
	Commands   uint64             `json:"commands"`
	AckPending int                `json:"ack_pending"`
	Outbox     int64              `json:"outbox"`
	Waiting    []books.Unfinished `json:"waiting,omitempty"`
	// Hanging says all that in words, with the commands' subjects; empty if Done.
	Hanging []string `json:"hanging,omitempty"`
	// AckFloor is the sequence up to which every command has been settled.
	AckFloor uint64 `json:"ack_floor"`

	delivered, last uint64
	// redelivered counts commands as JetStream does, outbox is the state of the outbox, and lagging names replicas.
	redelivered int
	outbox      outbox.Status
	lagging     []string
}

func (d *Drain) atRest() bool {
	return d.Commands == 0 && d.AckPending == 0 && d.Outbox == 0 && len(d.Waiting) == 0 && d.delivered >= d.last
}

// Await waits until nothing is left to do for anyone but a person: every command is settled, the outbox is empty, no call is under way
// and no timer is due before the horizon. While a part of the system can't be asked, it waits on. If it takes too long, the
// Drain says what hangs. It fails only if the context ends.
func Await(ctx context.Context, db store.DB, js jetstream.JetStream, c AwaitConfig) (Drain, error) {
	c = c.withDefaults()
	began := c.Now()
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	// At rest is what is at rest twice: what one look sees done may, by then, have led to something that it looked for before.
	var d Drain
	var err error
	told := began
	for rested := 0; rested < 2; {
		next, failed := look(bounded, db, js, c)
		switch {
		case failed == nil && next.atRest() && (rested == 0 || next.last == d.last):
			rested++
		default:
			rested = 0
		}
		if err = failed; failed == nil || d.last == 0 { // Half a look says more than none.
			d = next
		}
		if now := c.Now(); rested == 0 && now.Sub(told) >= c.ProgressEvery {
			told = now
			c.Progress(now.Sub(began), next.tell(bounded, db, c, failed))
		}
		if rested < 2 && !retry.Sleep(bounded, c.Poll) {
			d.Took = c.Now().Sub(began)
			d.describe(ctx, js, c, err)
			return d, ctx.Err()
		}
	}
	d.Done, d.Took = true, c.Now().Sub(began)
	return d, nil
}

func look(ctx context.Context, db store.DB, js jetstream.JetStream, c AwaitConfig) (d Drain, err error) {
	stream, err := js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return d, fmt.Errorf("look at %s: %w", messages.StreamCommands, err)
	}
	consumer, err := stream.Consumer(ctx, bus.ConsumerWorkers)
	if err != nil {
		return d, fmt.Errorf("look at the workers' consumer: %w", err)
	}
	// What the consumer says of its backlog may lag behind the stream; its position can't run ahead of it.
	d.last = stream.CachedInfo().State.LastSeq
	info := consumer.CachedInfo()
	d.Commands, d.AckPending, d.delivered, d.AckFloor = info.NumPending, info.NumAckPending, info.Delivered.Stream, info.AckFloor.Stream
	d.redelivered = info.NumRedelivered
	d.lagging = append(lagging(messages.StreamCommands, stream.CachedInfo().Cluster), lagging("the workers' consumer", info.Cluster)...)
	if d.outbox, err = outbox.Inspect(ctx, db); err != nil {
		return d, err
	}
	d.Outbox = d.outbox.Waiting + d.outbox.Parked + d.outbox.Behind
	d.Waiting, err = books.ListUnfinished(ctx, db, c.Now().Add(c.Horizon), c.NamesMax)
	return d, err
}

// describe says what hangs.
func (d *Drain) describe(ctx context.Context, js jetstream.JetStream, c AwaitConfig, err error) {
	say := func(format string, args ...any) { d.Hanging = append(d.Hanging, fmt.Sprintf(format, args...)) }
	if err != nil {
		say("the system can't be asked: %v", err)
	}
	if d.Commands > 0 {
		say("%d commands that no worker has taken", d.Commands)
	}
	if d.AckPending > 0 {
		say("%d commands that a worker has taken and not settled", d.AckPending)
	}
	if d.Outbox > 0 {
		say("%d rows in the outbox", d.Outbox)
	}
	for _, w := range d.Waiting {
		say("payment %s of %s: %s since %s; %s", w.PaymentID, w.Tenant, w.What, w.Since.UTC().Format(time.RFC3339Nano), w.Operations)
	}
	if d.Commands == 0 && d.AckPending == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, messages.StreamCommands)
	for sequence := d.AckFloor + 1; err == nil && len(d.Hanging) < c.NamesMax+4 && sequence <= d.last; sequence++ {
		msg, err := stream.GetMsg(ctx, sequence)
		if err != nil {
			continue // It was erased, or can't be read; the next may tell more.
		}
		switch {
		case sequence > d.delivered:
			say("command %d was never taken: %s", sequence, msg.Subject)
		case sequence == d.AckFloor+1:
			say("command %d is not settled: %s", sequence, msg.Subject)
		default:
			say("command %d is perhaps not settled: %s", sequence, msg.Subject)
		}
	}
}

// nameTimeout bounds how long it may take to name what hangs.
const nameTimeout = 5 * time.Second
