package rig

import (
	"context"
	"fmt"
	"net"
	"time"
)

// pollInterval is how often something is looked at that tells nobody of its change.
const pollInterval = 20 * time.Millisecond

// poll returns when cond holds, or says what was waited for in vain when ctx ends.
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

// freeAddr is a loopback address that nobody listens on.
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
