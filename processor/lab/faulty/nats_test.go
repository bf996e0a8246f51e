package faulty_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// bus is a stream with a consumer, reached over a faulty connection and over a good one.
type bus struct {
	t          *testing.T
	d          *faulty.Dialer
	js, good   jetstream.JetStream
	reconnects chan struct{}
}

func newBus(t *testing.T) *bus {
	t.Helper()
	b := &bus{t: t, d: dialer(t), reconnects: make(chan struct{}, 10)}
	server := servers.NATS(t)
	b.good = b.streams(server.Connect(t))
	b.js = b.streams(server.Connect(t, nats.SetCustomDialer(b.d), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { b.reconnects <- struct{}{} })))
	_, err := b.good.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "WORDS", Subjects: []string{"word.>"}, AllowAtomicPublish: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.good.CreateConsumer(t.Context(), "WORDS", jetstream.ConsumerConfig{
		Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bus) streams(conn *nats.Conn) jetstream.JetStream {
	b.t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		b.t.Fatal(err)
	}
	return js
}

// next returns the next delivery over the faulty connection, and tries again until there is one.
func (b *bus) next() (got jetstream.Msg) {
	b.t.Helper()
	servers.Eventually(b.t, "a delivery", func() bool {
		consumer, err := b.js.Consumer(b.t.Context(), "WORDS", "reader")
		if err != nil {
			return false
		}
		got, err = consumer.Next(jetstream.FetchMaxWait(time.Second))
		return err == nil
	})
	return got
}

func (b *bus) messages() uint64 {
	b.t.Helper()
	stream, err := b.good.Stream(b.t.Context(), "WORDS")
	if err != nil {
		b.t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func (b *bus) deliveries(msg jetstream.Msg) uint64 {
	b.t.Helper()
	meta, err := msg.Metadata()
	if err != nil {
		b.t.Fatal(err)
	}
	return meta.NumDelivered
}

func TestADeliveryAndItsAckAreLost(t *testing.T) {
	t.Parallel()
	for _, header := range []nats.Header{nil, {"Some": {"header"}}} {
		b := newBus(t)
		if _, err := b.good.PublishMsg(t.Context(), &nats.Msg{Subject: "word.one", Header: header, Data: []byte("+ACK\r\n")}); err != nil {
			t.Fatal(err)
		}
		other := b.d.Arm(faulty.Trap{Direction: faulty.FromServer, Match: faulty.Delivery("word.two"), Drop: true})
		delivery := b.d.Arm(faulty.Trap{Direction: faulty.FromServer, Match: faulty.Delivery("word."), Drop: true})
		ack := b.d.Arm(faulty.Trap{Match: faulty.Ack(), Drop: true})
		msg := b.next()
		if got := b.deliveries(msg); got != 2 || !fired(delivery) {
			t.Errorf("delivered %d times, want 2: the first was lost", got)
		}
		if err := msg.InProgress(); err != nil {
			t.Fatal(err)
		}
		if err := b.js.Conn().Flush(); err != nil || fired(ack) {
			t.Fatalf("a sign of life was taken for an acknowledgement, or %v", err)
		}
		if err := msg.Ack(); err != nil {
			t.Fatal(err)
		}
		<-ack.Fired()
		msg = b.next()
		if got := b.deliveries(msg); got != 3 {
			t.Errorf("delivered %d times, want 3: the acknowledgement was lost", got)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fired(other) {
			t.Error("a trap for another subject sprang")
		}
	}
}

func TestAPublicationOrItsAnswerIsLost(t *testing.T) {
	t.Parallel()
	batch := func(b *bus) error {
		_, err := jetstreamext.PublishMsgBatch(b.t.Context(), b.js, []*nats.Msg{
			nats.NewMsg("word.one"), nats.NewMsg("word.two"),
		}, jetstreamext.BatchFlowControl{})
		return err
	}
	single := func(b *bus) error {
		_, err := b.js.Publish(b.t.Context(), "word.one", []byte("1"), jetstream.WithRetryAttempts(0))
		return err
	}
	for _, publish := range []func(*bus) error{batch, single} {
		lost := faulty.Trap{Match: faulty.Publish("word."), Drop: true}
		answer := lost
		answer.Reply = faulty.PubAck("WORDS")
		for stored, trap := range map[bool]faulty.Trap{false: lost, true: answer} {
			b := newBus(t)
			a := b.d.Arm(trap)
			done := make(chan error, 1)
			go func() { done <- publish(b) }()
			<-a.Fired()
			if got := b.messages() > 0; got != stored {
				t.Errorf("stored: %v, want %v", got, stored)
			}
			<-b.reconnects
			b.js.Conn().Close() // ends the wait for an answer
			if err := <-done; err == nil {
				t.Error("published without an answer")
			}
		}
	}
}
