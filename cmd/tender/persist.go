package main

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

// once makes a single attempt.
func once(ctx context.Context, _ string, attempt func(context.Context) error) error {
	return attempt(ctx)
}

// persist makes attempts until one succeeds or ctx ends, and says each time what is missing.
func (p *process) persist(ctx context.Context, service string, attempt func(context.Context) error) error {
	pause := retry.BackOff(250*time.Millisecond, 10*time.Second)
	waited := false
	err := backoff.RetryNotify(func() error {
		err := attempt(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return backoff.Permanent(context.Cause(ctx))
		case codeOf(err) == exitUsage: // waiting will not put the configuration right
			return backoff.Permanent(err)
		default:
			return err
		}
	}, backoff.WithContext(pause, ctx), func(err error, next time.Duration) {
		waited = true
		p.log.Warn("waiting for "+service, zap.Duration("again_in", next.Round(time.Millisecond)), zap.Error(err))
	})
	if err == nil && waited {
		p.log.Info(service + " is ready")
	}
	return err
}
