package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
)

// deliveries counts what the workers' consumer delivered over a run in which streams and consumers are deleted and restored.
type deliveries struct {
	// made is how often a command was delivered, stored how many commands came.
	made, stored int64
	created      time.Time
	consumer     uint64
	stream       uint64
}

// watch looks at the counters until ctx ends. What happens between the last look at a consumer and its end is not counted.
func (d *deliveries) watch(ctx context.Context, js jetstream.JetStream) {
	const every = 500 * time.Millisecond
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		d.look(ctx, js)
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *deliveries) look(ctx context.Context, js jetstream.JetStream) {
	stream, err := js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return // it may be away, or gone for a while
	}
	consumer, err := stream.Consumer(ctx, bus.ConsumerWorkers)
	if err != nil {
		return
	}
	info, last := consumer.CachedInfo(), stream.CachedInfo().State.LastSeq
	if !info.Created.Equal(d.created) {
		d.created, d.consumer = info.Created, 0
	}
	d.made += grown(&d.consumer, info.Delivered.Consumer)
	d.stored += grown(&d.stream, last)
}

// grown is by how much a counter has grown; one that is less than before has begun anew.
func grown(last *uint64, now uint64) int64 {
	before := *last
	*last = now
	if now < before {
		return 0
	}
	return int64(now - before) //nolint:gosec // G115: a count of messages
}

// repeated is how many deliveries were not the first of their command.
func (d *deliveries) repeated() int64 { return max(0, d.made-d.stored) }
