package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

const (
	// demoTenant is the tenant of the demo's payments.
	demoTenant = "demo"
	// answerTimeout bounds the wait for the answer to one command.
	answerTimeout = 30 * time.Second
	// quietTimeout bounds the wait for all work to come to rest; quietPoll is the interval of the
	// checks.
	quietTimeout = 20 * time.Second
	quietPoll    = 20 * time.Millisecond
)

// stage plays scenarios. It sees only the bus, as a producer and a consumer do.
type stage struct {
	js      jetstream.JetStream
	client  *client.Client
	witness *witness
}

// newStage begins to watch the bus. Stop its witness when done.
func newStage(ctx context.Context, nc *nats.Conn) (*stage, error) {
	js, err := bus.JetStream(nc, 0)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	client, err := client.New(nc, client.Config{Tenant: demoTenant, Source: "tender-demo"})
	if err != nil {
		return nil, err
	}
	seen, err := newWitness(ctx, js)
	if err != nil {
		return nil, err
	}
	return &stage{js: js, client: client, witness: seen}, nil
}

// playActs plays the acts one after the other; those of the outage only if a story has one.
func (s *stage) playActs(ctx context.Context, stories []*story, down *outage, finished func(*story)) error {
	acts := []act{actUp}
	if outside(stories) {
		acts = append(acts, actDown, actBack, actAfter)
	}
	for _, a := range acts {
		if err := down.enter(ctx, a); err != nil {
			return err
		}
		if err := s.playAll(ctx, stories, a, finished); err != nil {
			return err
		}
	}
	return nil
}

// playAll plays an act of all stories at once, and calls finished after each story that is over.
func (s *stage) playAll(ctx context.Context, stories []*story, a act, finished func(*story)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var playing sync.WaitGroup
	var mu sync.Mutex
	for _, told := range stories {
		if !told.in(a) {
			continue
		}
		playing.Go(func() {
			if err := s.play(ctx, told, a); err != nil {
				cancel(fmt.Errorf("%s: %w", told.name, err))
				return
			}
			if told.over(a) {
				mu.Lock()
				defer mu.Unlock()
				finished(told)
			}
		})
	}
	playing.Wait()
	return context.Cause(ctx)
}

// play takes the steps of an act one after the other, each after the answer to the one before.
func (s *stage) play(ctx context.Context, told *story, a act) error {
	if told.parked(a - 1) {
		if err := s.await(ctx, &told.played[len(told.played)-1], s.witness.answered); err != nil {
			return err
		}
	}
	for _, st := range told.steps[len(told.played):] {
		if st.act != a {
			break
		}
		p, err := s.take(ctx, told, st)
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", len(told.played)+1, st.asked, err)
		}
		told.played = append(told.played, p)
	}
	return nil
}

// take publishes one command and waits for its answer, if it is to have one.
func (s *stage) take(ctx context.Context, told *story, st step) (played, error) {
	p, err := s.publish(ctx, told, st)
	if err != nil {
		return played{}, err
	}
	seen := s.witness.answered
	switch {
	case len(st.events) == 0 && st.letter == "":
		return p, nil
	case st.parks:
		seen = s.witness.parked
	}
	err = s.await(ctx, &p, seen)
	return p, err
}

// await waits until the witness has seen the answer to a command, and records an answer that did
// not come in time.
func (s *stage) await(ctx context.Context, p *played, seen func(played) bool) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := s.witness.await(ctx, func() bool { return seen(*p) })
	if errors.Is(err, context.DeadlineExceeded) {
		p.unanswered = true
		return nil
	}
	return err
}

func (s *stage) publish(ctx context.Context, told *story, st step) (played, error) {
	p := played{step: st, paymentID: told.paymentID}
	if st.raw != nil {
		id := fmt.Sprintf("%s-%d", told.paymentID, len(told.played)+1)
		p.command, p.commandID = messages.CommandName(st.raw.verb), id
		stored, err := s.js.PublishMsg(ctx, &nats.Msg{
			Subject: "payments.cmd." + demoTenant + "." + st.raw.verb + "." + told.paymentID.String(),
			Header:  nats.Header{messages.HeaderMessageID: {id}}, Data: []byte(st.raw.body),
		})
		if err != nil {
			return played{}, err
		}
		p.sequence, p.duplicate = stored.Sequence, stored.Duplicate
		return p, nil
	}
	ack, err := s.client.Publish(ctx, told.command(st))
	if err != nil {
		return played{}, err
	}
	p.command, p.commandID = ack.Command.Name(), ack.Command.ID
	p.sequence, p.duplicate = ack.Sequence, ack.Duplicate
	return p, nil
}

// settle waits until every command is settled, every event is published and the witness has seen
// it: nothing more arrives after that.
func (s *stage) settle(ctx context.Context, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, quietTimeout, errors.New("the work did not come to rest in time"))
	defer cancel()
	poll := time.NewTicker(quietPoll)
	defer poll.Stop()
	for {
		quiet, err := s.quiet(ctx, pool)
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil, quiet:
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// quiet checks the places in the order in which work moves, so that no work moves from an unchecked
// place to a checked one.
func (s *stage) quiet(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	workers, err := s.js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		return false, fmt.Errorf("look at the workers' consumer: %w", err)
	}
	if info := workers.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
		return false, nil
	}
	waiting, err := outbox.Inspect(ctx, pool)
	if err != nil || waiting.Waiting+waiting.Behind > 0 {
		return false, err
	}
	for _, name := range []string{messages.StreamEvents, messages.StreamDeadLetters} {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return false, fmt.Errorf("look at stream %s: %w", name, err)
		}
		last := stream.CachedInfo().State.LastSeq
		if err := s.witness.await(ctx, func() bool { return s.witness.seen[name] >= last }); err != nil {
			return false, err
		}
	}
	return true, nil
}

// witness subscribes to the events and the dead letters, as any consumer would, and keeps them all.
// The demo reports about the bus only what the witness received.
type witness struct {
	mu      sync.Mutex
	events  map[uuid.UUID][]messages.Event
	letters map[uint64]buried // by the sequence of the command in its stream
	// seen is the last sequence of each stream.
	seen map[string]uint64
	err  error
	// news is closed and replaced with every message.
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

// await returns when seen is satisfied, when a message could not be read, or when ctx ends. It
// calls seen with the lock held.
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

// parked reports whether the command waits for its gateway, or has its answer all the same.
func (w *witness) parked(p played) bool {
	return w.answered(p) || slices.ContainsFunc(w.events[p.paymentID], func(e messages.Event) bool {
		return e.CausationID == p.commandID && e.Type() == messages.EventPaymentParked
	})
}

// of returns the events of one payment, in the order in which they arrived.
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
