// Command example is a connector: it puts a gateway behind NATS, where Tender reaches it as a
// service.
//
//	go run ./processor/gateway/connector/example --nats nats://127.0.0.1:4222 --name example
//	tender gateway conformance --connector example
//
// The gateway inside is the simulator, or with --url a server of the gateway protocol over HTTP,
// whose key then stays with the connector. To connect another provider, replace [open].
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/connector"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// stopTimeout is the time for which calls under way may go on once the process was told to end.
const stopTimeout = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then finishes the calls under way.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("example", flag.ContinueOnError)
	address := flags.String("nats", nats.DefaultURL, "`URL` of NATS")
	name := flags.String("name", "example", "the gateway's `name` on the bus")
	provider := flags.String("url", "", "`URL` of a server of the gateway protocol; empty for a simulator inside")
	if err := flags.Parse(args); err != nil {
		return err
	}
	g, end, err := open(*provider, os.Getenv("PROVIDER_API_KEY"))
	if err != nil {
		return err
	}
	defer end()
	nc, err := nats.Connect(*address, nats.Name("connector "+*name), nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connect to NATS at %s: %w", *address, err)
	}
	defer nc.Close()
	service, err := connector.Start(nc, connector.Config{ //nolint:contextcheck // calls outlive ctx, up to Stop
		Name: *name, Gateway: g, Version: "1.0.0", Description: "An example of a connector",
		OnError: func(err error) { fmt.Fprintln(os.Stderr, "example:", err) },
		OnPanic: func(value any, stack []byte) { fmt.Fprintf(os.Stderr, "example: panic: %v\n%s", value, stack) },
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "example: serving gateway %s on %s\n", *name, nc.ConnectedUrlRedacted())
	<-ctx.Done()
	finishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return service.Stop(finishing)
}

// open returns the gateway that is put behind NATS, and a function that ends it.
func open(provider, apiKey string) (gateway.Gateway, func(), error) {
	if provider != "" {
		g, err := httpgw.New(httpgw.Config{URL: provider, APIKey: apiKey})
		if err != nil {
			return nil, nil, err
		}
		return g, g.Close, nil
	}
	s, err := sim.New(sim.Config{})
	if err != nil {
		return nil, nil, err
	}
	return s, func() { _ = s.Close() }, nil // closing a simulator in memory does not fail
}
