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

// sandboxGateway is a simulator that a sandbox is to have as a gateway.
type sandboxGateway struct {
	// name is the gateway's in the configuration.
	name string
	port portChoice
	// tells says that it tells of its own accord what it did.
	tells bool
	// lead is how long an answer that its event is to beat is held back; 0 is the simulator's own choice.
	lead time.Duration
}

// ledger is the file that keeps the gateway's ledger.
func (g sandboxGateway) ledger() string { return g.name + ".jsonl" }

// sandboxSimulator is the simulator behind a real port.
type sandboxSimulator struct {
	*simulator.Simulator
	name, url string
	address   string
	// end and served are those of the server that is up; nil if none is.
	end    context.CancelFunc
	served chan error
}

// startSimulator serves the simulator on a loopback port, 0 for a free one. c says where its ledger is kept and whom it tells.
func startSimulator(ctx context.Context, name string, port int, c simulator.Config) (*sandboxSimulator, error) {
	listener, err := listenLocally(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("listen for the simulator: %w", err)
	}
	s := &sandboxSimulator{name: name, address: listener.Addr().String()}
	s.url = "http://" + s.address
	c.URL = s.url
	if s.Simulator, err = simulator.New(c); err != nil { //nolint:contextcheck // what it tells others goes on until Close
		return nil, errors.Join(err, listener.Close())
	}
	s.serve(ctx, listener)
	return s, nil
}

func listenLocally(ctx context.Context, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

func (s *sandboxSimulator) serve(ctx context.Context, listener net.Listener) {
	// It outlives the context of its start: what uses it is ended first.
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	s.end, s.served = end, served
	go func() { served <- s.Serve(serving, listener, "") }()
}

// goDown closes the port, as a server does that has gone: connections are refused. What it did is not forgotten.
func (s *sandboxSimulator) goDown() error {
	if s.end == nil {
		return nil
	}
	s.end()
	s.end = nil
	return <-s.served
}

// comeBack serves again on the port that it had.
func (s *sandboxSimulator) comeBack(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for the simulator again: %w", err)
	}
	s.serve(ctx, listener)
	return nil
}

func (s *sandboxSimulator) stop() error { return errors.Join(s.goDown(), s.Close()) }
