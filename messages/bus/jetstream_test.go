package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// faultyBus is a provisioned bus over a connection that loses what a trap says.
func faultyBus(t *testing.T) (*faulty.Dialer, jetstream.JetStream) {
	t.Helper()
	server := servers.NATS(t)
	provision(t, servers.JetStream(t, server.Connect(t)), bus.StreamOptions{}, bus.ProvisionOptions{})
	dialer := faulty.NewDialer()
	t.Cleanup(dialer.Close)
	conn := server.Connect(t, nats.SetCustomDialer(dialer), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	js, err := bus.JetStream(conn, 0)
	if err != nil {
		t.Fatal(err)
	}
	return dialer, js
}

// request loses a request on its way to the server, answer loses the server's answer to one that it
// has carried out.
func request(line string) faulty.Trap {
	return faulty.Trap{Match: faulty.InOrder(line), Drop: true}
}

func answer(kind string) faulty.Trap {
	return faulty.Trap{Direction: faulty.FromServer, Match: faulty.InOrder(kind), Drop: true}
}

// A request that a connection takes with it as it breaks is made again, however long the caller
// would wait.
func TestALostRequestIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lost faulty.Trap
		ask  func(context.Context, jetstream.JetStream) error
	}{
		"stream": {request("PUB $JS.API.STREAM.INFO."), func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.Stream(ctx, messages.StreamEvents)
			return err
		}},
		"consumer": {request("PUB $JS.API.CONSUMER.INFO."), func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
			return err
		}},
		"create": {request("PUB $JS.API.STREAM.CREATE."), func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MORE", Subjects: []string{"more"}})
			return err
		}},
		"created stream": {answer("stream_create_response"), func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MORE", Subjects: []string{"more"}})
			return err
		}},
		"created consumer": {answer("consumer_create_response"), func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateConsumer(ctx, messages.StreamEvents, jetstream.ConsumerConfig{Durable: "reader"})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialer, js := faultyBus(t)
			trap := dialer.Arm(tt.lost)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if err := tt.ask(ctx, js); err != nil {
				t.Error(err)
			}
			<-trap.Fired()
		})
	}
}

// Without a deadline of the caller's, patience ends the attempts, and a refusal ends them at once.
func TestRequestsEnd(t *testing.T) {
	t.Parallel()
	dialer, js := faultyBus(t)
	if _, err := js.Stream(t.Context(), "MISSING"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a stream that is not there: %v", err)
	}
	dialer.Refuse(true)
	dialer.Cut()
	impatient, err := bus.JetStream(js.Conn(), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := impatient.Stream(t.Context(), messages.StreamEvents); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that is away: %v", err)
	}
}
