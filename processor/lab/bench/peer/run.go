package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// result is the output of --json.
type result struct {
	options
	Events            int     `json:"events"`
	Seconds           float64 `json:"seconds"` // from the first fetch to the last event on the bus
	PaymentsPerSecond float64 `json:"payments_per_second"`
	Checked           bool    `json:"checked"` // always true: a failed check is an error
}

func runCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("peer run", flag.ContinueOnError)
	natsURL := flags.String("nats", "", "address of a NATS server without streams; empty: start one")
	postgresURL := flags.String("postgres", "", "address of an empty PostgreSQL database; empty: start a server")
	asJSON := flags.Bool("json", false, "print the result as JSON")
	var o options
	o.register(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	if (*natsURL == "") != (*postgresURL == "") {
		return errors.New("give both --nats and --postgres, or neither")
	}
	r, err := runOn(ctx, *natsURL, *postgresURL, o)
	if err != nil {
		return err
	}
	return r.print(out, *asJSON)
}

// runOn measures on the given servers, or on private ones.
func runOn(ctx context.Context, natsURL, postgresURL string, o options) (_ result, err error) {
	if natsURL == "" {
		own, err := startServers(ctx)
		if err != nil {
			return result{}, err
		}
		defer func() { err = errors.Join(err, own.stop()) }()
		natsURL, postgresURL = own.natsURL, own.postgresURL
	}
	bus, err := nats.Connect(natsURL)
	if err != nil {
		return result{}, fmt.Errorf("connect to NATS: %w", err)
	}
	defer bus.Close()
	js, err := jetstream.New(bus)
	if err != nil {
		return result{}, fmt.Errorf("use JetStream: %w", err)
	}
	return measure(ctx, js, natsURL, postgresURL, o)
}

// measure processes payments from waiting commands to stored events, and checks the result.
func measure(ctx context.Context, js jetstream.JetStream, natsURL, postgresURL string, o options) (result, error) {
	if err := provision(ctx, js); err != nil {
		return result{}, err
	}
	if err := publishCommands(ctx, js, o.Payments); err != nil {
		return result{}, err
	}
	s, err := assemble(ctx, natsURL, postgresURL, o)
	if err != nil {
		return result{}, err
	}
	defer s.close()
	events := eventsOfPayment * o.Payments
	from := time.Now()
	to, err := s.run(ctx, func(ctx context.Context) (time.Time, error) { return awaitEvents(ctx, js, events) })
	if err != nil {
		return result{}, err
	}
	if err := check(ctx, js, s); err != nil {
		return result{}, fmt.Errorf("check the result: %w", err)
	}
	took := to.Sub(from).Seconds()
	return result{options: o, Events: events, Seconds: took, PaymentsPerSecond: float64(o.Payments) / took, Checked: true}, nil
}

func (r result) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	_, err := fmt.Fprintf(out, "Watermill: %d payments in %.2f s: %.0f payments/s (%d handlers, %d connections, %d outboxes, batches of %d)\n",
		r.Payments, r.Seconds, r.PaymentsPerSecond, r.Handlers, r.Connections, r.Outboxes, r.Batch)
	return err
}
