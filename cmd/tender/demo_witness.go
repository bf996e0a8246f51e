package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// witness subscribes to the events and the dead letters, as any consumer would, and remembers them all. What the demo says
// about the bus is what the witness saw there.
type witness struct {
	mu      sync.Mutex
	events  map[uuid.UUID][]messages.Event
	letters map[uint64]buried // by the sequence of the command in its stream
	// seen is the last sequence of each stream.
	seen map[string]uint64
	err  error
	// news is closed and replaced whenever something comes.
	news chan struct{}

	subscriptions []jetstream.ConsumeContext
}

// buried is a dead letter.
type buried struct {
	reason, detail string
	body           []byte
}

// newWitness begins to watch, from the first message of each stream. Call stop when done.
func newWitness(ctx context.Context, js jetstream.JetStream) (*witness, error) {
	w := &witness{
		events: map[uuid.UUID][]messages.Event{}, letters: map[uint64]buried{}, seen: map[string]uint64{},
		news: make(chan struct{}),
	}
	for stream, note := range map[string]func(jetstream.Msg) error{
		messages.StreamEvents: w.noteEvent, messages.StreamDeadLetters: w.noteLetter,
	} {
		consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
		if err != nil {
			w.stop()
			return nil, fmt.Errorf("watch stream %s: %w", stream, err)
		}
		subscription, err := consumer.Consume(func(msg jetstream.Msg) { w.note(stream, msg, note) })
		if err != nil {
			w.stop()
			return nil, fmt.Errorf("watch stream %s: %w", stream, err)
		}
		w.subscriptions = append(w.subscriptions, subscription)
	}
	return w, nil
}

func (w *witness) stop() {
	for _, subscription := range w.subscriptions {
		subscription.Stop()
		<-subscription.Closed()
	}
}

func (w *witness) note(stream string, msg jetstream.Msg, note func(jetstream.Msg) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	meta, err := msg.Metadata()
	if err == nil {
		w.seen[stream] = meta.Sequence.Stream
		err = note(msg)
	}
	if err != nil {
		w.err = errors.Join(w.err, fmt.Errorf("read %s: %w", msg.Subject(), err))
	}
	close(w.news)
	w.news = make(chan struct{})
}

func (w *witness) noteEvent(msg jetstream.Msg) error {
	event, err := messages.DecodeEvent(msg.Headers(), msg.Data())
	if err != nil {
		return err
	}
	if subject := messages.EventSubject(event); subject != msg.Subject() {
		return fmt.Errorf("its content belongs on %s", subject)
	}
	if id := msg.Headers().Get(nats.MsgIdHdr); id != messages.EventMessageID(event) {
		return fmt.Errorf("its message id is %s, not %s", id, messages.EventMessageID(event))
	}
	w.events[event.PaymentID] = append(w.events[event.PaymentID], event)
	return nil
}

func (w *witness) noteLetter(msg jetstream.Msg) error {
	header := msg.Headers()
	sequence, err := strconv.ParseUint(header.Get(deadletter.HeaderSequence), 10, 64)
	if err != nil {
		return err
	}
	w.letters[sequence] = buried{
		reason: header.Get(deadletter.HeaderReason), detail: header.Get(deadletter.HeaderDetail), body: msg.Data(),
	}
	return nil
}

// await returns when seen finds what it looks for, when something on the bus could not be read, or when ctx ends.
// seen is called with the lock held.
func (w *witness) await(ctx context.Context, seen func() bool) error {
	for {
		w.mu.Lock()
		found, err, news := seen(), w.err, w.news
		w.mu.Unlock()
		if found || err != nil {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// answered reports whether the command has its answer, or became a dead letter.
func (w *witness) answered(p played) bool {
	if _, dead := w.letters[p.sequence]; dead {
		return true
	}
	return slices.ContainsFunc(w.events[p.paymentID], func(e messages.Event) bool {
		return e.CausationID == p.commandID && messages.EndsCommand(p.command, e)
	})
}

// parked reports whether what the command asked for is put off until its gateway is back, or over all the same.
func (w *witness) parked(p played) bool {
	return w.answered(p) || slices.ContainsFunc(w.events[p.paymentID], func(e messages.Event) bool {
		return e.CausationID == p.commandID && e.Type() == messages.EventPaymentParked
	})
}

// of returns what came of one payment, in the order in which it came.
func (w *witness) of(id uuid.UUID) []messages.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events[id])
}

// letter returns the dead letter of a command, false if there is none.
func (w *witness) letter(sequence uint64) (buried, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, found := w.letters[sequence]
	return l, found
}
