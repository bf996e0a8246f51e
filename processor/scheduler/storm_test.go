package scheduler_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/scheduler"
)

// system is a store, a bus and a relay between them, without workers.
type system struct {
	*storetest.Bundle
	js jetstream.JetStream
}

func setup(t *testing.T) *system {
	t.Helper()
	s := &system{Bundle: storetest.Setup(t)}
	var err error
	if s.js, err = bus.JetStream(servers.NATS(t).Connect(t), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), s.js, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	relay, err := outbox.NewRelay(s.Pool, s.js, outbox.RelayConfig{PollInterval: 5 * time.Millisecond}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	s.run(relay.Run)
	return s
}

// run runs a part until the test ends.
func (s *system) run(part func(context.Context) error) {
	ctx, stop := context.WithCancel(s.Context())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	s.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.Error(err)
		}
	})
}

// resumes counts the resume commands that the stream has taken.
func (s *system) resumes() uint64 {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), messages.StreamCommands)
	if err != nil {
		s.Fatal(err)
	}
	info, err := stream.Info(s.Context(), jetstream.WithSubjectFilter("payments.cmd.*.resume.>"))
	if err != nil {
		s.Fatal(err)
	}
	var n uint64
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

// Workers are away while the leases of due timers end again and again: the stream holds one resume
// for each timer. When the workers are back and their commands lead to nothing, the timers fire
// again.
func TestOursATimerStormDoesNotMultiply(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const payments = 40
	for range payments {
		paymentID := storetest.NewID()
		s.Handle(storetest.Create(paymentID, paymentID.String(), ""), storetest.Unknown(), storetest.Start())
	}
	// Each look at the clock finds another hour gone, so that every lease has ended.
	var looks atomic.Int64
	now := func() time.Time { return storetest.Start().Add(time.Duration(looks.Add(1)) * time.Hour) }
	cfg := scheduler.Config{PollInterval: time.Millisecond, BatchMax: 7, Lease: 20 * time.Millisecond, SweepAge: 1 << 60}
	for range 2 {
		s.run(scheduler.New(s.Store, bus.NewBacklog(s.js), cfg, zaptest.NewLogger(t), now).Run)
	}

	servers.Eventually(t, "every timer's resume is in the stream", func() bool { return s.resumes() >= payments })
	before := looks.Load()
	servers.Eventually(t, "many leases end", func() bool { return looks.Load() > before+200 })
	if n := s.resumes(); n != payments {
		t.Fatalf("the stream holds %d resumes of %d timers while the workers are away", n, payments)
	}

	// The workers come back and find nothing to do: the commands wait no more, and the timers fire
	// again, once each.
	consumer, err := s.js.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		t.Fatal(err)
	}
	s.settle(consumer, payments/2)
	before = looks.Load()
	servers.Eventually(t, "many leases end", func() bool { return looks.Load() > before+200 })
	if n := s.resumes(); n > payments*3/2 {
		t.Errorf("the stream has taken %d resumes of %d timers, of which half were handled", n, payments)
	}
	s.settle(consumer, payments/2)
	servers.Eventually(t, "the timers of the handled resumes fire again", func() bool { return s.resumes() >= 2*payments })
	before = looks.Load()
	servers.Eventually(t, "many leases end", func() bool { return looks.Load() > before+200 })
	if n := s.resumes(); n != 2*payments {
		t.Errorf("the stream has taken %d resumes; %d timers fired twice", n, payments)
	}
}

// settle acknowledges as many commands, as workers do for which there is nothing to do.
func (s *system) settle(consumer jetstream.Consumer, n int) {
	s.Helper()
	batch, err := consumer.Fetch(n)
	if err != nil {
		s.Fatal(err)
	}
	settled := 0
	for msg := range batch.Messages() {
		if err := msg.DoubleAck(s.Context()); err != nil {
			s.Fatal(err)
		}
		settled++
	}
	if settled != n {
		s.Fatalf("settled %d commands, want %d: %v", settled, n, batch.Error())
	}
}

// A gateway answers again: its parked payments are resumed at once, and told to try now.
func TestOursUnparkResumesWhatIsParked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const payments = 20
	for range payments {
		paymentID := storetest.NewID()
		s.Handle(storetest.Create(paymentID, paymentID.String(), ""), messages.Outcome{Kind: messages.OutcomeNotSent, Tries: 1}, storetest.Start())
	}
	unparker := scheduler.NewUnparker(
		s.Store, scheduler.UnparkerConfig{BatchMax: 7, Spread: time.Nanosecond}, zaptest.NewLogger(t), storetest.Start)
	for range 100 { // It may be called more often than needed, and before Run.
		unparker.Answers("another")
		unparker.Answers("sim")
	}
	s.run(unparker.Run)
	cfg := scheduler.Config{PollInterval: 10 * time.Millisecond, BatchMax: 7, SweepAge: 1 << 60}
	s.run(scheduler.New(s.Store, bus.NewBacklog(s.js), cfg, zaptest.NewLogger(t), storetest.Start).Run)
	servers.Eventually(t, "every parked payment is resumed", func() bool { return s.resumes() == payments })
	if n := s.Count(`SELECT count(*) FROM timers WHERE try_now`); n != payments {
		t.Errorf("%d timers try now, want %d", n, payments)
	}
}
