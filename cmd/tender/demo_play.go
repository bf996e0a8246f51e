package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
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
	client  *client.Client
	witness *witness
}

// newStage enters the bus. Stop its witness when done.
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
