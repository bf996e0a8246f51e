package worker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/worker"
)

var errCut = errors.New("the process ended here")

// cutShort is a process that ends between publishing a command and removing its letter.
type cutShort struct{ jetstream.JetStream }

func (c cutShort) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := c.JetStream.Stream(ctx, name)
	return cutStream{stream}, err
}

type cutStream struct{ jetstream.Stream }

func (cutStream) DeleteMsg(context.Context, uint64) error { return errCut }

// lastCommand is the sequence of the latest command.
func (s *system) lastCommand() uint64 {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), messages.StreamCommands)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq
}

func TestRedrivingTwiceDoesNothingTwice(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) {
		s.cfg.DeliveriesMax = 1
		s.streams.DuplicatesWindow = 100 * time.Millisecond
	})
	// A worker panics when it calls this gateway: the operation is recorded as sent, and the
	// command given up.
	stop := s.worker(func(p *worker.Parts, _ *worker.Config) { p.Gateways = panicking(t) })
	id := newID()
	s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_visa"), "nats-msg-id", "order-1", "idempotency-key", "order-1", "Nats-Msg-Id", "order-1")
	s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_visa"), "idempotency-key", "order-1", "Nats-Msg-Id", "message-1")
	servers.Eventually(t, "both become dead letters", func() bool { return len(s.letters()) == 2 })
	stop()
	s.worker()
	var letter uint64
	for _, l := range s.letters() {
		if l.Reason == deadletter.ReasonDeliveriesExhausted {
			letter = l.Sequence
		}
	}
	redrive := func(js jetstream.JetStream) error {
		_, err := deadletter.Redrive(t.Context(), js, letter)
		return err
	}

	// Cut short between publishing and removing, again and again, until JetStream has forgotten the
	// first time.
	begin := s.lastCommand()
	servers.Eventually(t, "JetStream takes it for another message", func() bool {
		if err := redrive(cutShort{s.js}); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		return s.lastCommand() >= begin+2
	})
	// Then by several processes at once.
	var redriving sync.WaitGroup
	for range 6 {
		other := servers.JetStream(s.t, s.bus.Connect(t))
		redriving.Go(func() {
			if err := redrive(other); err != nil && !errors.Is(err, deadletter.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	redriving.Wait()
	if err := redrive(s.js); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("once more: %v", err)
	}
	s.settled()
	if p := s.get(id); p.Status != messages.StatusCaptured || p.CapturedMinor != 10000 {
		t.Errorf("%+v", p)
	}
	captured := 0
	for _, e := range s.history(id) {
		if e.Type() == messages.EventPaymentCaptured {
			captured++
		}
	}
	if entries := s.sim.Ledger(); len(entries) != 1 || captured != 1 {
		t.Errorf("%d effects, %d outcomes: %v", len(entries), captured, types(s.history(id)))
	}
	for _, l := range s.letters() {
		if l.Sequence == letter || l.StreamSequence > begin {
			t.Errorf("a redriven command became a dead letter: %+v", l)
		}
	}
	s.verify()
}
