package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
)

const (
	// demoTenant is whose payments the demo makes.
	demoTenant = "demo"
	// answerTimeout bounds the wait for the answer to one command.
	answerTimeout = 30 * time.Second
	// quietTimeout bounds the wait for everything to come to rest, and quietPoll is how often to look.
	quietTimeout = 20 * time.Second
	quietPoll    = 20 * time.Millisecond
)

// stage is where scenarios are played: the bus as a producer and a consumer see it, and nothing else.
type stage struct {
	js      jetstream.JetStream
	client  *messages.Client
	witness *witness
}

// newStage enters the bus. Stop its witness when done.
func newStage(ctx context.Context, nc *nats.Conn) (*stage, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	client, err := messages.NewClient(nc, messages.ClientConfig{Tenant: demoTenant, Source: "tender-demo"})
	if err != nil {
		return nil, err
	}
	seen, err := newWitness(ctx, js)
	if err != nil {
		return nil, err
	}
	return &stage{js: js, client: client, witness: seen}, nil
}

// played is a step that was taken.
type played struct {
	step
	paymentID uuid.UUID
	command   messages.CommandName
	commandID string
	// sequence is the command's in its stream, duplicate that the stream had it already.
	sequence  uint64
	duplicate bool
	// unanswered says that no answer came in time.
	unanswered bool
}

// story is a scenario as it is played.
type story struct {
	scenario
	paymentID uuid.UUID
	// played are the steps that were taken so far.
	played []played
}

// cast gives every scenario its payments.
func cast(scenarios []scenario) ([]*story, error) {
	var stories []*story
	for _, sc := range scenarios {
		for range max(sc.times, 1) {
			id, err := uuid.NewV7()
			if err != nil {
				return nil, fmt.Errorf("make a payment id: %w", err)
			}
			stories = append(stories, &story{scenario: sc, paymentID: id})
		}
	}
	return stories, nil
}

// unanswered reports whether a command had no answer in time.
func (told *story) unanswered() bool {
	return slices.ContainsFunc(told.played, func(p played) bool { return p.unanswered })
}

// over reports whether nothing more comes after an act.
func (told *story) over(a act) bool {
	return len(told.played) == len(told.steps) && !told.parked(a)
}

// parked reports whether the last step that was taken waits for the act after this one.
func (told *story) parked(a act) bool {
	last := len(told.played) - 1
	return last >= 0 && told.played[last].parks && told.played[last].act == a
}

// in reports whether the story goes on in an act.
func (told *story) in(a act) bool {
	return told.parked(a-1) || len(told.played) < len(told.steps) && told.steps[len(told.played)].act == a
}

// outside reports whether a story goes beyond the first act.
func outside(stories []*story) bool {
	return slices.ContainsFunc(stories, func(told *story) bool {
		return slices.ContainsFunc(told.steps, func(st step) bool { return st.act != actUp })
	})
}

// playActs plays the acts one after the other; those of the outage only if a story is about it.
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

// playAll plays an act of the stories side by side, as payments come in life, and calls finished after each that is over.
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

// play takes the steps of an act one after the other, each when the one before has its answer.
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

// await waits until the witness has seen something of a command, and notes if that did not come in time.
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

// command is what a step publishes through the client: under a message id of its own, unless the step is to repeat the
// message before it, and under the idempotency key that it may share with others.
func (told *story) command(st step) messages.Command {
	n := len(told.played) + 1
	if st.again {
		n--
		st.body, st.key = told.steps[n-1].body, told.steps[n-1].key
	}
	c := messages.Command{PaymentID: told.paymentID, ID: fmt.Sprintf("%s-%d", told.paymentID, n), Body: st.body}
	c.IdempotencyKey = c.ID
	if st.key != "" {
		c.IdempotencyKey = told.paymentID.String() + "-" + st.key
	}
	return c
}

// settle waits until every command is settled, every event is published and the witness has seen it all: what is missing
// then will not come any more.
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

// quiet looks in the order in which work moves on, so that nothing slips from a place not looked at to one already seen.
func (s *stage) quiet(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	workers, err := s.js.Consumer(ctx, messages.StreamCommands, messages.ConsumerWorkers)
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
