package simulation

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// TestTheModelOfTheBusIsLikeJetStream makes both buses publish, deliver, acknowledge, hand back and
// miss the same commands: each delivery has the same number, an acknowledged command does not come
// again, and both say the same of how far the workers are.
func TestTheModelOfTheBusIsLikeJetStream(t *testing.T) {
	t.Parallel()
	js := servers.JetStream(t, servers.NATS(t).Connect(t))
	ctx := t.Context()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "COMMANDS", Subjects: []string{"cmd"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(1, Options{})
	w.profile = profile{}
	w.bus.work = func(*message) {}
	model := map[uint64]*message{}
	hands := map[uint64]jetstream.Msg{}
	published, missed := 0, 0

	publish := func(id string) {
		ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: "cmd", Header: nats.Header{messages.HeaderMessageID: {id}}})
		if err != nil {
			t.Fatal(err)
		}
		if !ack.Duplicate {
			m := w.bus.publish(messages.Command{Body: &messages.Resume{}}, nil)
			model[m.seq] = m
		}
		if ack.Sequence != w.bus.last && !ack.Duplicate {
			t.Fatalf("JetStream has %d commands, the model %d", ack.Sequence, w.bus.last)
		}
	}
	fetch := func() {
		msg, err := consumer.Next(jetstream.FetchMaxWait(2 * time.Second))
		if errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
			if len(w.bus.waiting) > 0 {
				t.Fatalf("JetStream delivers nothing; %d commands wait in the model", len(w.bus.waiting))
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		m := model[meta.Sequence.Stream]
		if m == nil || m.settled {
			t.Fatalf("JetStream delivers command %d, which the model has settled", meta.Sequence.Stream)
		}
		if hands[m.seq] != nil {
			missed++ // Neither acknowledged nor handed back in time.
		}
		m.deliveries = min(m.deliveries, deliveriesMax-1)
		before := m.deliveries
		w.bus.deliver(m)
		if meta.NumDelivered < uint64(m.deliveries) || before+1 != m.deliveries {
			t.Fatalf("delivery %d of command %d is number %d in the model", meta.NumDelivered, m.seq, m.deliveries)
		}
		hands[m.seq] = msg
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		switch r.IntN(5) {
		case 0:
			published++
			publish(nuid(published))
		case 1:
			publish(nuid(max(1, published))) // A repetition, within the window.
			published = max(1, published)
		case 2:
			fetch()
		case 3:
			for seq, msg := range hands {
				if err := msg.DoubleAck(ctx); err != nil {
					t.Fatal(err)
				}
				w.bus.ack(model[seq])
				delete(hands, seq)
				break
			}
		case 4:
			for seq, msg := range hands {
				if err := msg.Nak(); err != nil {
					t.Fatal(err)
				}
				w.bus.handBack(model[seq])
				delete(hands, seq)
				break
			}
		}
		info, err := consumer.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		settledBehind := info.NumPending+info.AckFloor.Stream >= w.bus.handled()
		if info.AckFloor.Stream > w.bus.handled() || !settledBehind {
			t.Fatalf("JetStream has settled everything up to %d, the model up to %d", info.AckFloor.Stream, w.bus.handled())
		}
	}
	// One that no worker answers for comes again by itself.
	published++
	publish(nuid(published))
	for missed == 0 {
		fetch()
	}
	// In the end all are settled.
	for len(w.bus.waiting) > 0 {
		fetch()
		for seq, msg := range hands {
			if err := msg.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
			w.bus.ack(model[seq])
			delete(hands, seq)
		}
	}
	servers.Eventually(t, "both have settled everything", func() bool {
		info, err := consumer.Info(ctx)
		return err == nil && info.AckFloor.Stream == w.bus.handled() && info.AckFloor.Stream == w.bus.last
	})
}

func nuid(n int) string { return "command-" + time.Duration(n).String() }
