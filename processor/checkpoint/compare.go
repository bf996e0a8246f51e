package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Comparison is the result of Compare.
type Comparison struct {
	// Compared is how many checkpoints are both in the database and on the bus.
	Compared int64
	// Findings are those that differ, or that are missing on one side, under
	// books.CheckpointsPublished.
	Findings []books.Finding
}

// Compare holds the checkpoints in the database against those on the stream PAYMENTS_AUDIT.
// Checkpoints may be taken meanwhile. One that waits in the outbox need not be on the bus yet;
// those before the first on the stream are not compared, since a stream that was lost begins anew.
// A stream that is gone is a finding if checkpoints were published there. It needs some fifty
// bytes of memory for each checkpoint. An error means that the comparison could not be completed.
func Compare(ctx context.Context, js jetstream.JetStream, db store.DB) (Comparison, error) {
	c := comparison{recorded: map[int64]*recorded{}}
	// The database first: a checkpoint that is recorded by now and no longer in the outbox is on
	// the bus.
	if err := c.readDatabase(ctx, db); err != nil {
		return Comparison{}, fmt.Errorf("compare checkpoints: %w", err)
	}
	published, err := readBus(ctx, js)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		c.findGone()
		return c.Comparison, nil
	}
	if err != nil {
		return Comparison{}, fmt.Errorf("compare checkpoints: read stream %s: %w", messages.StreamAudit, err)
	}
	// And again, for checkpoints recorded and published meanwhile.
	if err := c.readDatabase(ctx, db); err != nil {
		return Comparison{}, fmt.Errorf("compare checkpoints: %w", err)
	}
	for _, p := range published {
		c.hold(p)
	}
	c.lookForMissing(published)
	return c.Comparison, nil
}

// comparison is one on its way.
type comparison struct {
	Comparison
	recorded map[int64]*recorded
	last     int64
}

// recorded is the checkpoint that the database has under a number.
type recorded struct {
	hash messages.Hash
	// due says that it has to be on the bus, seen that it is.
	due, seen bool
}

// published is a checkpoint on the bus, or a message that is none.
type published struct {
	sequence uint64
	number   int64
	hash     messages.Hash
	problem  error
}

// readDatabase reads the checkpoints added since the last call; only those of the first call have
// to be on the bus.
func (c *comparison) readDatabase(ctx context.Context, db store.DB) error {
	first := c.last == 0
	return books.Checkpoints(ctx, db, c.last, func(r books.RecordedCheckpoint) error {
		c.recorded[r.Number] = &recorded{hash: r.Hash(), due: first && !r.Waiting}
		c.last = max(c.last, r.Number)
		return nil
	})
}

func readBus(ctx context.Context, js jetstream.JetStream) ([]published, error) {
	if _, err := js.Stream(ctx, messages.StreamAudit); err != nil {
		return nil, err
	}
	var all []published
	from := bus.ScanFrom{Stream: messages.StreamAudit, Subject: messages.SubjectCheckpoint}
	err := bus.Scan(ctx, js, from, func(msg *jetstream.RawStreamMsg) bool {
		checkpoint, err := messages.DecodeCheckpoint(msg.Data)
		all = append(all, published{msg.Sequence, checkpoint.Number, checkpoint.Hash(), err})
		return true
	})
	return all, err
}

// hold compares one message.
func (c *comparison) hold(p published) {
	r := c.recorded[p.number]
	switch {
	case p.problem != nil:
		c.find("message %d of %s: %v", p.sequence, messages.StreamAudit, p.problem)
	case r == nil:
		c.find("checkpoint %d is on the bus and not in the database", p.number)
	default:
		if !r.seen {
			c.Compared++
		}
		r.seen = true
		if r.hash != p.hash {
			c.find("checkpoint %d in the database is not the one on the bus, message %d of %s", p.number, p.sequence, messages.StreamAudit)
		}
	}
}

func (c *comparison) lookForMissing(all []published) {
	i := slices.IndexFunc(all, func(p published) bool { return p.problem == nil })
	if i < 0 {
		return
	}
	for _, number := range slices.Sorted(maps.Keys(c.recorded)) {
		if r := c.recorded[number]; number > all[i].number && r.due && !r.seen {
			c.find("checkpoint %d is in the database, and neither on the bus nor on its way there", number)
		}
	}
}

// findGone reports that the stream is gone, unless nothing was ever published there.
func (c *comparison) findGone() {
	n := 0
	for _, r := range c.recorded {
		if r.due {
			n++
		}
	}
	if n > 0 {
		c.find("stream %s is gone: %d checkpoints were published there", messages.StreamAudit, n)
	}
}

func (c *comparison) find(format string, args ...any) {
	c.Findings = append(c.Findings, books.Finding{Invariant: books.CheckpointsPublished, Detail: fmt.Sprintf(format, args...)})
}
