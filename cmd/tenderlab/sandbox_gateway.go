package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

// sandboxGateway describes a simulator of a sandbox.
type sandboxGateway struct {
	// name is the gateway's in the configuration.
	name string
	port portChoice
	// tells says that it sends webhooks.
	tells bool
	// lead is the time by which a webhook precedes its answer; 0 is the simulator's default.
	lead time.Duration
}

// ledger is the file that keeps the gateway's ledger.
func (g sandboxGateway) ledger() string { return g.name + ".jsonl" }

// sandboxSimulator is the simulator behind a real port.
type sandboxSimulator struct {
	*simulator.Simulator
	name, url string
	address   string
	// end and served are those of the running server; nil if none runs.
	end    context.CancelFunc
	served chan error
}

// startSimulator serves the simulator on a loopback port, 0 for a free one.
func startSimulator(ctx context.Context, name string, port int, c simulator.Config) (*sandboxSimulator, error) {
	listener, err := listenLocally(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("listen for the simulator: %w", err)
	}
	s := &sandboxSimulator{name: name, address: listener.Addr().String()}
	s.url = "http://" + s.address
	if s.Simulator, err = simulator.New(c); err != nil { //nolint:contextcheck // it sends webhooks until Close
		return nil, errors.Join(err, listener.Close())
	}
	s.serve(ctx, listener)
	return s, nil
}

func listenLocally(ctx context.Context, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

func (s *sandboxSimulator) serve(ctx context.Context, listener net.Listener) {
	// It outlives the context of its start: the instances that use it end first.
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	s.end, s.served = end, served
	go func() { served <- s.Serve(serving, listener, "") }()
}

// goDown closes the port: connections are refused, as by a server that has gone. The ledger stays.
func (s *sandboxSimulator) goDown() error {
	if s.end == nil {
		return nil
	}
	s.end()
	s.end = nil
	return <-s.served
}

// comeBack serves again on the same port.
func (s *sandboxSimulator) comeBack(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for the simulator again: %w", err)
	}
	s.serve(ctx, listener)
	return nil
}

func (s *sandboxSimulator) stop() error { return errors.Join(s.goDown(), s.Close()) }
