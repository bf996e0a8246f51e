package deployments_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// incidents are those of the runbook, by the names that stand in its comments.
func incidents() map[string]incident {
	all := map[string]incident{}
	for _, some := range []map[string]incident{backlogs(), letters(), streamsInTrouble(), busesInTrouble(), databases(), payments(), chores()} {
		for name, made := range some {
			all[name] = made
		}
	}
	return all
}

// startTender is the commonest thing that an operator does without a recipe.
func startTender() map[string]func(*scene) {
	return map[string]func(*scene){"start tender": (*scene).serveAll}
}

func backlogs() map[string]incident {
	return map[string]incident{
		"all-is-well": {make: func(s *scene) {
			s.serveAll()
			s.paid(1)
		}},
		"no-workers": {hands: startTender(), make: (*scene).threeWaiting},
		"consumer-paused": {make: func(s *scene) {
			until := time.Now().Add(time.Hour)
			if _, err := s.js.PauseConsumer(s.t.Context(), messages.StreamCommands, bus.ConsumerWorkers, until); err != nil {
				s.t.Fatal(err)
			}
			s.serveAll()
			s.threeWaiting()
		}},
		"consumer-deleted": {make: func(s *scene) {
			s.serveAll()
			s.paid(2)
			if err := s.js.DeleteConsumer(s.t.Context(), messages.StreamCommands, bus.ConsumerWorkers); err != nil {
				s.t.Fatal(err)
			}
			s.threeWaiting()
		}},
	}
}

func (s *scene) threeWaiting() {
	for range 3 {
		s.pay("pm_card_visa")
	}
}

func letters() map[string]incident {
	return map[string]incident{
		"dead-letters": {
			settings: []string{"TENDER_WORKER_DELIVERIES_MAX=1"},
			make: func(s *scene) {
				s.name(s.pay("pm_card_visa"))
				s.dropOne()
				s.serveAll()
				s.awaitLetter()
			},
			over: (*scene).wantNoLetters,
		},
		"gave-up": {
			streams: bus.StreamOptions{DeliveriesMax: 1},
			make: func(s *scene) {
				s.name(s.pay("pm_card_visa"))
				s.dropOne()
				s.serveAll()
			},
			over: (*scene).wantNoLetters,
		},
	}
}

// name tells the recipes which payment they are about.
func (s *scene) name(payment uuid.UUID) { s.vars["PAYMENT"] = payment.String() }

// dropOne takes a command as a worker would that dies of it.
func (s *scene) dropOne() {
	s.t.Helper()
	consumer, err := s.js.Consumer(s.t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		s.t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := msg.Nak(); err != nil {
		s.t.Fatal(err)
	}
}

// awaitLetter waits for the first dead letter and tells the recipes its number.
func (s *scene) awaitLetter() {
	s.t.Helper()
	servers.Eventually(s.t, "a dead letter", func() bool { return len(s.letters()) > 0 })
	s.vars["LETTER"] = strconv.FormatUint(s.letters()[0].Sequence, 10)
}

func (s *scene) letters() []deadletter.Letter {
	s.t.Helper()
	var found []deadletter.Letter
	err := deadletter.List(s.t.Context(), s.js, deadletter.Filter{}, func(l deadletter.Letter) bool {
		found = append(found, l)
		return true
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

func (s *scene) wantNoLetters() {
	s.t.Helper()
	s.await(uuid.MustParse(s.vars["PAYMENT"]), messages.StatusCaptured)
	if left := s.letters(); len(left) > 0 {
		s.t.Errorf("%d dead letters are left: %+v", len(left), left)
	}
}

func streamsInTrouble() map[string]incident {
	return map[string]incident{
		"stream-full": {
			streams: bus.StreamOptions{CommandMaxBytes: 4 << 10},
			make: func(s *scene) {
				s.vars["BYTES"] = strconv.Itoa(64 << 20)
				s.serveAll()
				s.fill()
			},
			over: func(s *scene) { s.paid(1) },
		},
		"commands-deleted": {
			hands: producerSendsAgain(),
			make: func(s *scene) {
				first := s.serve("worker,relay,scheduler")
				s.paid(1)
				first.end(syscall.SIGTERM)
				s.name(s.pay("pm_card_visa"))
				s.delete(messages.StreamCommands)
				s.serveAll()
			},
		},
		"events-deleted": {
			make: func(s *scene) {
				s.serveAll()
				s.paid(2)
				s.awaitPublished()
				s.delete(messages.StreamEvents)
			},
			over: func(s *scene) { s.wantEvents(2) },
		},
	}
}

func producerSendsAgain() map[string]func(*scene) {
	return map[string]func(*scene){"the producer sends everything again": (*scene).sendAgain}
}

func (s *scene) delete(stream string) {
	s.t.Helper()
	if err := s.js.DeleteStream(s.t.Context(), stream); err != nil {
		s.t.Fatal(err)
	}
}

// awaitPublished waits until the outbox is empty.
func (s *scene) awaitPublished() {
	s.t.Helper()
	servers.Eventually(s.t, "the outbox to be empty", func() bool {
		status, err := outbox.Inspect(s.t.Context(), s.pool)
		return err == nil && status.Waiting == 0
	})
}

// wantEvents wants the captured payments on the bus whose events it lost.
func (s *scene) wantEvents(captured int) {
	s.t.Helper()
	s.awaitPublished()
	stream, err := s.js.Stream(s.t.Context(), messages.StreamEvents)
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := stream.Info(s.t.Context(), jetstream.WithSubjectFilter("payments.evt.*.payment.captured.*"))
	if err != nil {
		s.t.Fatal(err)
	}
	if got := len(info.State.Subjects); got != captured {
		s.t.Errorf("the bus tells of %d captured payments, want %d", got, captured)
	}
}

func busesInTrouble() map[string]incident {
	return map[string]incident{
		"node-lost": {
			cluster: 3,
			streams: bus.StreamOptions{Replicas: 3},
			make: func(s *scene) {
				s.serveAll()
				s.paid(1)
				if err := s.cluster.Node(s.leader()).Stop(); err != nil {
					s.t.Fatal(err)
				}
				s.paid(1)
			},
			hands: map[string]func(*scene){"start the node": func(s *scene) {
				for i := range s.cluster.Nodes() {
					if err := s.cluster.Node(i).Start(s.t.Context()); err != nil {
						s.t.Fatal(err)
					}
				}
			}},
			over: func(s *scene) { s.paid(1) },
		},
		"bus-restored": {
			// A second checkpoint, after the copy, would be lost with it, and verify would name it.
			settings: []string{"TENDER_CHECKPOINT_INTERVAL=1h"},
			make:     (*scene).loseMessages,
			hands: map[string]func(*scene){
				"restore the bus":                     (*scene).restoreBus,
				"start tender":                        (*scene).serveAll,
				"the producer sends everything again": (*scene).sendAgain,
			},
			over: func(s *scene) { s.wantEvents(5) },
		},
	}
}

// loseMessages copies the bus and has it go on: with payments that are finished, and one that no
// worker has begun.
func (s *scene) loseMessages() {
	s.t.Helper()
	tender := s.serve("worker,relay,scheduler")
	s.paid(2)
	s.awaitPublished()
	s.bus.Down()
	s.copyBus(s.busFolder(), s.home+"/copy")
	s.up()
	s.paid(2)
	s.awaitPublished()
	tender.end(syscall.SIGTERM)
	s.pay("pm_card_visa")
}

func (s *scene) restoreBus() {
	s.t.Helper()
	s.bus.Down()
	s.copyBus(s.home+"/copy", s.busFolder())
	s.up()
}

func (s *scene) leader() int {
	s.t.Helper()
	var node int
	servers.Eventually(s.t, "a leader of the commands", func() bool { // an election may be under way
		var err error
		node, err = s.cluster.Leader(s.t.Context(), messages.StreamCommands)
		return err == nil
	})
	return node
}

func (s *scene) up() {
	s.t.Helper()
	if err := s.bus.Up(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	servers.Eventually(s.t, "the bus to be back", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), askLimit)
		defer cancel()
		_, err := s.js.AccountInfo(ctx)
		return err == nil
	})
}

// copyBus replaces what is stored in one folder by what is stored in another.
func (s *scene) copyBus(from, to string) {
	s.t.Helper()
	from, to = filepath.Join(from, "jetstream"), filepath.Join(to, "jetstream")
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		s.t.Fatal(err)
	}
}

// fill publishes payments until the stream refuses one.
func (s *scene) fill() {
	s.t.Helper()
	for range 100 {
		_, err := s.js.Publish(s.t.Context(), "payments.cmd.acme.create."+uuid.NewString(),
			[]byte(`{"amount_minor":1999,"currency":"USD","payment_method":"pm_card_visa"}`), jetstream.WithMsgID(uuid.NewString()))
		if err != nil {
			return
		}
	}
	s.t.Fatal("the stream takes everything")
}
