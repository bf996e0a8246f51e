package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func (s *system) collector() (stop func()) {
	s.t.Helper()
	return s.run("collector", deadletter.NewCollector(s.js, s.log).Run)
}

// fetch takes the next command from the workers' consumer, as a worker does that then dies.
func (s *system) fetch() jetstream.Msg {
	s.t.Helper()
	consumer, err := s.js.Consumer(s.t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		s.t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(2 * time.Minute))
	if err != nil {
		s.t.Fatal(err)
	}
	return msg
}

// advisories is how many the server has raised, and how many of them the collector has done with.
func (s *system) advisories() (raised, collected uint64) {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), bus.StreamAdvisories)
	if err != nil {
		s.t.Fatal(err)
	}
	consumer, err := stream.Consumer(s.t.Context(), bus.ConsumerCollector)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream.CachedInfo().State.LastSeq, consumer.CachedInfo().AckFloor.Stream
}

// allCollected waits until the collector has done with at least so many advisories, and with all
// there are.
func (s *system) allCollected(least uint64) {
	s.t.Helper()
	servers.Eventually(s.t, "every advisory is collected", func() bool {
		raised, collected := s.advisories()
		return raised >= least && collected == raised
	})
}

// givesUp waits until the server has given up on a command. It does so when a client asks for more.
func (s *system) givesUp() {
	s.t.Helper()
	consumer, err := s.js.Consumer(s.t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		s.t.Fatal(err)
	}
	servers.Eventually(s.t, "the server gives up", func() bool {
		msgs, err := consumer.FetchNoWait(1)
		if err != nil {
			s.t.Fatal(err)
		}
		for msg := range msgs.Messages() {
			s.t.Fatalf("delivered again: %s", msg.Subject())
		}
		raised, _ := s.advisories()
		return raised == 1
	})
}

// repeat publishes the advisories of the server once more, as a server may that restarts.
func (s *system) repeat() {
	s.t.Helper()
	var again []*jetstream.RawStreamMsg
	from := bus.ScanFrom{Stream: bus.StreamAdvisories, Subject: ">"}
	if err := bus.Scan(s.t.Context(), s.js, from, func(m *jetstream.RawStreamMsg) bool {
		again = append(again, m)
		return true
	}); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range again {
		if _, err := s.js.Publish(s.t.Context(), m.Subject, m.Data); err != nil {
			s.t.Fatal(err)
		}
	}
}

// twoDeliveries is a bus on which the server gives up after two deliveries, with short times.
func twoDeliveries(s *system) {
	s.streams = bus.StreamOptions{AckWait: 100 * time.Millisecond, DeliveriesMax: 2, DuplicatesWindow: 100 * time.Millisecond}
}

func TestACommandThatKillsItsWorkersIsCollected(t *testing.T) {
	t.Parallel()
	s := setup(t, twoDeliveries)
	id := newID()
	s.raw("payments.cmd.acme.create."+id.String(), create("pm_card_visa"), "Nats-Msg-Id", "order-1")
	s.fetch()
	s.fetch()
	s.givesUp()
	// No collector ran yet; the advisory outlives the server.
	s.bus.Restart(t)
	servers.Eventually(t, "the bus is back", func() bool { return s.nc.IsConnected() })
	stop := s.collector()
	s.allCollected(1)
	stop()
	letters := s.letters()
	if len(letters) != 1 {
		t.Fatalf("%d dead letters", len(letters))
	}
	l := letters[0]
	if l.Reason != deadletter.ReasonDeliveriesExhausted || l.Deliveries != 2 || l.Headers.Get("Nats-Msg-Id") != "order-1" ||
		l.OriginalSubject != "payments.cmd.acme.create."+id.String() || !strings.Contains(string(l.Body), "pm_card_visa") {
		t.Errorf("%+v", l)
	}

	// The server does not deliver it again, also under a higher limit: the letter is the only way.
	s.streams.DeliveriesMax, s.streams.AckWait = 20, 2*time.Second
	if _, err := bus.Provision(t.Context(), s.js, s.streams, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	s.worker()
	s.expect(s.outcome(newID(), "another", create("pm_card_visa")), messages.EventPaymentCaptured)
	s.settled()
	if _, err := s.store.Get(t.Context(), "acme", id); err == nil {
		t.Error("the command was delivered again")
	}

	// Said twice, by a fresh process, after JetStream has forgotten the letter's id: one letter.
	s.repeat()
	stop = s.collector()
	s.allCollected(2)
	stop()
	if n := len(s.letters()); n != 1 {
		t.Fatalf("%d dead letters", n)
	}
	if _, err := deadletter.Redrive(t.Context(), s.js, l.Sequence); err != nil {
		t.Fatal(err)
	}
	s.settled()
	if p := s.get(id); p.Status != messages.StatusCaptured {
		t.Errorf("%s", p.Status)
	}
	s.verify()
}

func TestATerminationByHandIsCollectedAndAWorkersIsNot(t *testing.T) {
	t.Parallel()
	s := setup(t, func(s *system) { s.streams.DuplicatesWindow = 100 * time.Millisecond })
	byHand := newID()
	s.raw("payments.cmd.acme.create."+byHand.String(), create("pm_card_visa"), "Nats-Msg-Id", "by-hand")
	if err := s.fetch().TermWithReason("rubbish"); err != nil {
		t.Fatal(err)
	}
	// Another program's consumer is none of ours.
	other, err := s.js.CreateConsumer(t.Context(), messages.StreamCommands, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := other.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.Term(); err != nil {
		t.Fatal(err)
	}
	// A worker stores the letter itself. One letter is gone before a collector runs.
	stop := s.worker()
	s.raw("payments.cmd.acme.create."+newID().String(), []byte("not json"), "Nats-Msg-Id", "broken")
	s.settled()
	if _, err := deadletter.Remove(t.Context(), s.js, 1); err != nil {
		t.Fatal(err)
	}
	s.raw("payments.cmd.acme.create."+newID().String(), []byte(`{"payment_method":"4111 1111 1111 1111"}`), "Nats-Msg-Id", "card")
	s.settled()
	stop()
	s.collector()
	s.allCollected(3)
	reasons := map[string]deadletter.Letter{}
	for _, l := range s.letters() {
		reasons[l.Reason] = l
	}
	l := reasons[deadletter.ReasonTerminated]
	if len(s.letters()) != 2 || reasons[string(messages.CodeCardNumberPresent)].Sequence == 0 ||
		l.OriginalSubject != "payments.cmd.acme.create."+byHand.String() || l.Detail != "terminated: rubbish" || l.Deliveries != 1 {
		t.Fatalf("%+v", s.letters())
	}
}

func TestAnOriginalThatIsGoneIsToldOf(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.raw("payments.cmd.acme.create."+newID().String(), create("pm_card_visa"), "Nats-Msg-Id", "gone")
	msg := s.fetch()
	stream, err := s.js.Stream(t.Context(), messages.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.TermWithReason("rubbish"); err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	s.collector()
	s.allCollected(1)
	s.repeat()
	s.allCollected(2)
	letters := s.letters()
	if len(letters) != 1 {
		t.Fatalf("%+v", letters)
	}
	l := letters[0]
	if l.StreamSequence != 1 || l.OriginalSubject != "" || l.Subject != "payments.dlq._._._" || len(l.Body) != 0 ||
		!strings.Contains(l.Detail, "gone from its stream") {
		t.Errorf("%+v", l)
	}
	if _, err := deadletter.Redrive(t.Context(), s.js, l.Sequence); err == nil {
		t.Error("redriven")
	}
}

func TestACardNumberThatTheServerGaveUpIsErased(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const pan = "4111111111111111"
	s.raw("payments.cmd.acme.create."+newID().String(), []byte(`{"payment_method":"`+pan+`"}`), "Nats-Msg-Id", "card")
	if err := s.fetch().Term(); err != nil {
		t.Fatal(err)
	}
	s.collector()
	s.allCollected(1)
	letters := s.letters()
	if len(letters) != 1 || !letters[0].Masked || strings.Contains(string(letters[0].Body), pan) || s.keeps(pan) {
		t.Fatalf("%+v, kept in the stream: %t", letters, s.keeps(pan))
	}
	if _, err := deadletter.Redrive(t.Context(), s.js, letters[0].Sequence); err == nil {
		t.Error("redriven with half a card number")
	}
}

func TestTheCollectorOutlivesOutages(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.collector()
	for range 3 {
		s.raw("payments.cmd.acme.create."+newID().String(), create("pm_card_visa"), "Nats-Msg-Id", newID().String())
		if err := s.fetch().Term(); err != nil {
			t.Fatal(err)
		}
		if err := s.nc.Flush(); err != nil {
			t.Fatal(err)
		}
		s.bus.Restart(t)
		servers.Eventually(t, "the bus is back", func() bool { return s.nc.IsConnected() })
	}
	// What the server was about to say as it stopped is lost; what it said is not, nor told twice.
	raised, _ := s.advisories()
	servers.Eventually(t, "a dead letter for each advisory", func() bool { return uint64(len(s.letters())) == raised })
}
