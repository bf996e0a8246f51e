package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// Backlog says how far the workers are with the stream of commands. It may be used concurrently.
type Backlog struct{ js jetstream.JetStream }

// NewBacklog returns the backlog of the workers' consumer. It asks for nothing yet.
func NewBacklog(js jetstream.JetStream) *Backlog { return &Backlog{js} }

// Last returns the last sequence of the stream of commands: every command that the stream
// acknowledged before the call lies at or below it.
func (b *Backlog) Last(ctx context.Context) (uint64, error) {
	stream, err := b.js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return 0, fmt.Errorf("look at stream %s: %w", messages.StreamCommands, err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// Handled returns a sequence at or below which the workers' consumer waits for no command: each was
// acknowledged, given up by the server, or skipped by a consumer that was made after it.
func (b *Backlog) Handled(ctx context.Context) (uint64, error) {
	consumer, err := b.js.Consumer(ctx, messages.StreamCommands, ConsumerWorkers)
	if err != nil {
		return 0, fmt.Errorf("look at consumer %s of stream %s: %w", ConsumerWorkers, messages.StreamCommands, err)
	}
	info := consumer.CachedInfo()
	if info.NumAckPending == 0 {
		// Everything delivered is settled, also where the server leaves the floor behind, as it
		// does after a command that was delivered too often. NumPending is not looked at: a
		// consumer's leader may not have seen the latest commands yet.
		return max(info.AckFloor.Stream, info.Delivered.Stream), nil
	}
	return info.AckFloor.Stream, nil
}
