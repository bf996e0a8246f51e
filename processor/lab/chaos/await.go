package chaos

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// AwaitConfig configures Await. Zero values mean the defaults.
type AwaitConfig struct {
	// Timeout is the limit of the wait; 0 means a minute.
	Timeout time.Duration
	// Horizon is the time ahead within which a due timer is waited for; 0 means an hour. A later
	// timer, such as the expiry of an authorization, counts as rest.
	Horizon time.Duration
	// Poll is the interval between looks; 0 means 100 ms.
	Poll time.Duration
	// NamesMax is the limit of commands and payments that are named when they hang; 0 means 20.
	NamesMax int
	// Progress receives a description of the open work every ProgressEvery (0 means 5 s). It may
	// be nil. Await never calls it concurrently.
	Progress      func(waited time.Duration, open []string)
	ProgressEvery time.Duration
	// Now is the clock; required.
	Now func() time.Time
}

func (c AwaitConfig) withDefaults() AwaitConfig {
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.Horizon = cmp.Or(c.Horizon, time.Hour)
	c.Poll = cmp.Or(c.Poll, 100*time.Millisecond)
	c.ProgressEvery = cmp.Or(c.ProgressEvery, 5*time.Second)
	if c.Progress == nil {
		c.Progress = func(time.Duration, []string) {}
	}
	c.NamesMax = cmp.Or(c.NamesMax, 20)
	return c
}

// Drain tells whether and when the system came to rest.
type Drain struct {
	// Done is true when all work but that of a person was finished. Took is the time until then,
	// or until Await gave up.
	Done bool          `json:"done"`
	Took time.Duration `json:"took_ns"`
	// Commands counts commands that no worker has taken, AckPending those that a worker has.
	// Outbox counts rows, and Waiting names calls and timers.
	Commands   uint64             `json:"commands"`
	AckPending int                `json:"ack_pending"`
	Outbox     int64              `json:"outbox"`
	Waiting    []books.Unfinished `json:"waiting,omitempty"`
	// Hanging describes all of it, with the subjects of the commands; empty if Done.
	Hanging []string `json:"hanging,omitempty"`
	// AckFloor is the sequence up to which every command is acknowledged.
	AckFloor uint64 `json:"ack_floor"`

	delivered, last uint64
	// redelivered counts commands as JetStream does, outbox is the state of the outbox, and lagging
	// names replicas.
	redelivered int
	outbox      outbox.Status
	lagging     []string
}

func (d *Drain) atRest() bool {
	return d.Commands == 0 && d.AckPending == 0 && d.Outbox == 0 && len(d.Waiting) == 0 && d.delivered >= d.last
}

// Await waits until only a person has work left: every command is acknowledged, the outbox is
// empty, no call is under way and no timer is due before the horizon. It keeps waiting while a
// part of the system does not answer. After the timeout, the Drain describes the open work. Await
// fails only if the context ends.
func Await(ctx context.Context, db store.DB, js jetstream.JetStream, c AwaitConfig) (Drain, error) {
	c = c.withDefaults()
	began := c.Now()
	bounded, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	// The system is at rest when two looks in a row find it so: work that one look finds finished
	// may have caused new work in a part that was inspected before.
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
		if err = failed; failed == nil || d.last == 0 { // a partial look is better than none
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
	// The backlog that the consumer reports may lag behind the stream; its position cannot be
	// ahead of the stream.
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

// describe adds a description of the open work.
func (d *Drain) describe(ctx context.Context, js jetstream.JetStream, c AwaitConfig, err error) {
	say := func(format string, args ...any) { d.Hanging = append(d.Hanging, fmt.Sprintf(format, args...)) }
	if err != nil {
		say("the system does not answer: %v", err)
	}
	if d.Commands > 0 {
		say("%d commands that no worker has taken", d.Commands)
	}
	if d.AckPending > 0 {
		say("%d commands that a worker has taken and not acknowledged", d.AckPending)
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
			continue // it is erased or unreadable; the next one may exist
		}
		switch {
		case sequence > d.delivered:
			say("command %d was never taken: %s", sequence, msg.Subject)
		case sequence == d.AckFloor+1:
			say("command %d is not acknowledged: %s", sequence, msg.Subject)
		default:
			say("command %d is perhaps not acknowledged: %s", sequence, msg.Subject)
		}
	}
}

// nameTimeout bounds the search for the names of open commands.
const nameTimeout = 5 * time.Second

// openMax is the limit of calls and timers that a description covers.
const openMax = 1000

// tell describes the open work and its cause. err is the reason why the look failed, or nil.
func (d *Drain) tell(ctx context.Context, db store.DB, c AwaitConfig, err error) []string {
	if err != nil {
		return []string{fmt.Sprintf("the system does not answer: %v", err)}
	}
	open := slices.Concat(d.tellCommands(), d.tellOutbox(), d.lagging)
	now := c.Now()
	waiting, err := books.ListUnfinished(ctx, db, now.Add(c.Horizon), openMax)
	if err != nil {
		return append(open, fmt.Sprintf("cannot read the payments: %v", err))
	}
	return append(open, tellWaiting(waiting, now)...)
}

func (d *Drain) tellCommands() (open []string) {
	if d.Commands > 0 {
		open = append(open, fmt.Sprintf("%d commands that no worker has taken", d.Commands))
	}
	if d.AckPending > 0 {
		text := fmt.Sprintf("%d commands taken and not acknowledged", d.AckPending)
		if d.redelivered > 0 {
			text += fmt.Sprintf(", %d of them delivered more than once or handed back for later", d.redelivered)
		}
		open = append(open, fmt.Sprintf("%s; all are acknowledged up to %d of %d", text, d.AckFloor, d.last))
	}
	return open
}

func (d *Drain) tellOutbox() []string {
	if d.Outbox == 0 {
		return nil
	}
	text := fmt.Sprintf("%d rows in the outbox, the oldest since %s", d.Outbox, rounded(d.outbox.OldestAge))
	if d.outbox.Parked+d.outbox.Behind > 0 {
		text += fmt.Sprintf(", %d parked and %d behind those", d.outbox.Parked, d.outbox.Behind)
	}
	if len(d.outbox.Owners) == 0 {
		text += ", and no relay owns it"
	}
	return []string{text}
}

// tellWaiting counts payments by the call or timer for which they wait, with the times of the
// first and the last.
func tellWaiting(waiting []books.Unfinished, now time.Time) (open []string) {
	type times struct {
		payments    int
		first, last time.Time
	}
	kinds := map[string]*times{}
	for i := range waiting {
		w := &waiting[i]
		kind := strings.TrimSpace(w.What + " " + w.Operations)
		if kinds[kind] == nil {
			kinds[kind] = &times{first: w.Since}
		}
		kinds[kind].payments++
		kinds[kind].last = w.Since // they are in the order of time
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		k := kinds[kind]
		text := fmt.Sprintf("%d payments wait: %s, %s", k.payments, kind, fromNow(k.first, now))
		if k.payments > 1 {
			text += " to " + fromNow(k.last, now)
		}
		open = append(open, text)
	}
	if len(waiting) == openMax {
		open = append(open, fmt.Sprintf("and more than these %d", openMax))
	}
	return open
}

// fromNow describes a time relative to now.
func fromNow(t, now time.Time) string {
	if t.After(now) {
		return "due in " + rounded(t.Sub(now)).String()
	}
	return "since " + rounded(now.Sub(t)).String()
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// lagging names the replicas of a stream or consumer that are not current.
func lagging(of string, cluster *jetstream.ClusterInfo) (open []string) {
	if cluster == nil {
		return nil
	}
	for _, replica := range cluster.Replicas {
		switch {
		case replica.Offline:
			open = append(open, fmt.Sprintf("node %s is offline for %s", replica.Name, of))
		case !replica.Current:
			open = append(open, fmt.Sprintf("node %s is %d operations behind in %s", replica.Name, replica.Lag, of))
		}
	}
	return open
}
