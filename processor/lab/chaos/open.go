package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// openMax is how many calls and timers are read to say what is open.
const openMax = 1000

// tell says in words what is still open, and why. err is why the system could not be looked at, if it could not.
func (d *Drain) tell(ctx context.Context, db store.DB, c AwaitConfig, err error) []string {
	if err != nil {
		return []string{fmt.Sprintf("the system can't be asked: %v", err)}
	}
	open := slices.Concat(d.tellCommands(), d.tellOutbox(), d.lagging)
	now := c.Now()
	waiting, err := books.ListUnfinished(ctx, db, now.Add(c.Horizon), openMax)
	if err != nil {
		return append(open, fmt.Sprintf("the payments can't be read: %v", err))
	}
	return append(open, tellWaiting(waiting, now)...)
}

func (d *Drain) tellCommands() (open []string) {
	if d.Commands > 0 {
		open = append(open, fmt.Sprintf("%d commands that no worker has taken", d.Commands))
	}
	if d.AckPending > 0 {
		text := fmt.Sprintf("%d commands taken and not settled", d.AckPending)
		if d.redelivered > 0 {
			text += fmt.Sprintf(", %d of them delivered more than once or handed back for later", d.redelivered)
		}
		open = append(open, fmt.Sprintf("%s; all are settled up to %d of %d", text, d.AckFloor, d.last))
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

// tellWaiting says for each thing that payments wait for how many do, and when the first and the last of them is due.
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
		kinds[kind].last = w.Since // they come in the order of time
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

// fromNow is a time as a person who waits wants it.
func fromNow(t, now time.Time) string {
	if t.After(now) {
		return "due in " + rounded(t.Sub(now)).String()
	}
	return "since " + rounded(now.Sub(t)).String()
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// lagging says which replicas of a stream or consumer are not current.
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
