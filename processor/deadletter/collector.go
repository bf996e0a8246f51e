package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

const (
	// advisoriesMax is how many advisories are taken at once; they are few.
	advisoriesMax = 50
	// collectTimeout bounds the work on one advisory. It is less than the consumer's AckWait.
	collectTimeout = 8 * time.Second
	// fetchWait is how long one request for advisories waits on the server.
	fetchWait = time.Second
	// collectAgain is when an advisory comes back whose dead letter could not be stored.
	collectAgain = 2 * time.Second
)

// Collector makes dead letters of commands that the server gave up on: those that were delivered as
// often as the consumer allows while workers died or hung, and those that a person terminated by
// hand. Any number may run; they share the server's advisories between them. An advisory is
// acknowledged once the dead letter is stored.
//
// A lost advisory cannot be collected: the server raises it once, and one that it raises as it
// stops is lost with it.
type Collector struct {
	js      jetstream.JetStream
	log     *zap.Logger
	letters *Collection
	// consumer is nil until it is found, and after a failure: it may have been deleted and made
	// anew.
	consumer jetstream.Consumer
}

// NewCollector returns a collector that has not begun.
func NewCollector(js jetstream.JetStream, log *zap.Logger) *Collector {
	return &Collector{js: js, log: log, letters: NewCollection(js)}
}

// Run collects until ctx is done; it always returns nil. NATS may be away when it starts and at any
// time later.
func (c *Collector) Run(ctx context.Context) error {
	outage := retry.Outage{Log: c.log, Failing: "cannot collect advisories; retrying", Over: "collecting advisories again"}
	retry.Loop(ctx, &outage, c.round)
	return nil
}

// round takes the advisories that are there, or waits a moment for some.
func (c *Collector) round(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			c.consumer = nil
		}
	}()
	if c.consumer == nil {
		found, err := c.js.Consumer(ctx, bus.StreamAdvisories, bus.ConsumerCollector)
		if err != nil {
			return fmt.Errorf("find consumer %s of stream %s (has `tender provision` been run?): %w",
				bus.ConsumerCollector, bus.StreamAdvisories, err)
		}
		c.consumer = found
	}
	batch, err := c.consumer.Fetch(advisoriesMax, jetstream.FetchMaxWait(fetchWait))
	if err != nil {
		return fmt.Errorf("fetch advisories: %w", err)
	}
	var failed error
	for msg := range batch.Messages() {
		if err := c.take(ctx, msg); err != nil {
			failed = err
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.Canceled) {
		return errors.Join(failed, fmt.Errorf("fetch advisories: %w", err))
	}
	return failed
}

// take brings one advisory to its dead letter, or hands it back.
func (c *Collector) take(ctx context.Context, msg jetstream.Msg) error {
	if ctx.Err() != nil {
		return msg.NakWithDelay(10 * time.Millisecond)
	}
	advisory, err := ParseAdvisory(msg.Subject(), msg.Data())
	if err != nil {
		c.log.Error("cannot read an advisory; leaving it out", zap.Error(err))
		return msg.TermWithReason("unreadable")
	}
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	letter, stored, err := c.letters.Collect(ctx, advisory)
	if err != nil {
		return errors.Join(fmt.Errorf("collect command %d: %w", advisory.Sequence, err), msg.NakWithDelay(collectAgain))
	}
	if stored {
		c.log.Warn("a command that no worker settled became a dead letter", zap.String("subject", letter.OriginalSubject),
			zap.Uint64("sequence", letter.StreamSequence), zap.String("reason", letter.Reason), zap.String("detail", letter.Detail))
	}
	return msg.Ack()
}
