package rig

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

// pollInterval is the interval of polling, for conditions that send no signal.
const pollInterval = 20 * time.Millisecond

// poll returns when cond holds. When ctx ends first, the error names the condition.
func poll(ctx context.Context, what string, cond func() bool) error {
	look := time.NewTicker(pollInterval)
	defer look.Stop()
	for !cond() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}

// persist repeats an operation until it succeeds, as an operator would, or until ctx ends.
func persist(ctx context.Context, what string, every time.Duration, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if retry.Sleep(ctx, every); ctx.Err() != nil {
			return fmt.Errorf("%s: %w (last: %w)", what, context.Cause(ctx), err)
		}
	}
}

// freeAddr returns a loopback address with a free port.
func freeAddr(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return "", fmt.Errorf("give the free port back: %w", err)
	}
	return address, nil
}
