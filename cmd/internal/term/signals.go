package term

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// signals ends a context on the first SIGINT or SIGTERM, and the process on the second.
type signals struct {
	stop func()
	code atomic.Int32
}

// catchSignals begins to listen, and returns the context that a signal ends. stop ends it as well.
func catchSignals(parent context.Context) (context.Context, *signals) {
	ctx, cancel := context.WithCancel(parent)
	incoming := make(chan os.Signal, 2)
	signal.Notify(incoming, syscall.SIGINT, syscall.SIGTERM)
	s := &signals{}
	done := make(chan struct{})
	s.stop = func() {
		signal.Stop(incoming)
		close(done)
		cancel()
	}
	go func() {
		for {
			select {
			case sig := <-incoming:
				if !s.code.CompareAndSwap(0, signalCode(sig)) {
					os.Exit(int(signalCode(sig)))
				}
				cancel()
			case <-done:
				return
			}
		}
	}()
	return ctx, s
}

// caught returns the exit code for the signal that came, 0 if none came.
func (s *signals) caught() int { return int(s.code.Load()) }

// signalCode is the code that a shell reports for a process that a signal ended.
func signalCode(sig os.Signal) int32 {
	if sig == syscall.SIGTERM {
		return 128 + int32(syscall.SIGTERM)
	}
	return 128 + int32(syscall.SIGINT)
}
