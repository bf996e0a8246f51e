package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// sandboxSimulator is the simulator behind a real port.
type sandboxSimulator struct {
	*sim.Simulator
	url    string
	end    context.CancelFunc
	served chan error
}

// startSimulator serves the simulator on a loopback port, 0 for a free one. It keeps its ledger in the journal; "" keeps it
// in memory.
func startSimulator(ctx context.Context, port int, journal string) (*sandboxSimulator, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listen for the simulator: %w", err)
	}
	url := "http://" + listener.Addr().String()
	simulator, err := sim.New(sim.Config{Journal: journal, URL: url})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	// It outlives the context of its start: what uses it is ended first.
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &sandboxSimulator{Simulator: simulator, url: url, end: end, served: make(chan error, 1)}
	go func() { s.served <- simulator.Serve(serving, listener, "") }()
	return s, nil
}

func (s *sandboxSimulator) stop() error {
	s.end()
	return errors.Join(<-s.served, s.Close())
}
