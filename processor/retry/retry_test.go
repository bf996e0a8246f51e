package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

func TestSleepIsCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if !retry.Sleep(t.Context(), time.Hour) {
			t.Error("cut short")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if retry.Sleep(ctx, time.Hour) || time.Since(began) != time.Minute {
			t.Errorf("slept %s", time.Since(began))
		}
	})
}

// An outage is told of twice, pauses grow to five seconds, and a success makes them short again.
func TestLoopOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		outage := retry.Outage{Log: zap.New(core), Failing: "cannot work; retrying", Over: "working again"}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var rounds int
		var longest time.Duration
		last := time.Now()
		retry.Loop(ctx, &outage, func(context.Context) error {
			rounds++
			longest = max(longest, time.Since(last))
			last = time.Now()
			switch {
			case rounds <= 20:
				return errors.New("away")
			case rounds == 21:
				return nil
			default:
				cancel()
				return context.Canceled
			}
		})
		if rounds != 22 || longest < 2500*time.Millisecond || longest > 7500*time.Millisecond {
			t.Errorf("%d rounds, the longest pause %s", rounds, longest)
		}
		var lines []string
		for _, entry := range logs.All() {
			lines = append(lines, entry.Level.String()+" "+entry.Message)
		}
		if len(lines) != 2 || lines[0] != "warn cannot work; retrying" || lines[1] != "info working again" {
			t.Errorf("logged %q", lines)
		}
	})
}
