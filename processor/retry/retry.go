// Package retry holds what the loops of a process share that outlast an outage: a pause that the
// context cuts short, pauses that grow, and one log line when something stops working and one when
// it works again.
//
// It decides nothing: which error is worth another attempt, and whether an attempt may be repeated,
// is the caller's to know.
package retry

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"
)

// Sleep pauses for d, and reports whether it was over before ctx was done.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// BackOff returns pauses with jitter that grow from initial to longest and never end. It belongs to
// one goroutine.
func BackOff(initial, longest time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(initial), backoff.WithMaxInterval(longest), backoff.WithMaxElapsedTime(0),
	)
}

// Outage logs when something stops working and when it works again: once each, however often it is
// tried in between. It belongs to one goroutine.
type Outage struct {
	Log *zap.Logger
	// Failing is the warning: "cannot fetch commands; retrying". Over is the note: "fetching
	// commands again".
	Failing, Over string

	down bool
}

// Note takes what one attempt came to. What fails because ctx is done is no outage.
func (o *Outage) Note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !o.down:
		o.down = true
		o.Log.Warn(o.Failing, zap.Error(err))
	case err == nil && o.down:
		o.down = false
		o.Log.Info(o.Over)
	}
}

// Loop calls round until ctx is done. After a failure it notes the outage and pauses, each time
// longer, from 100 ms to 5 s.
func Loop(ctx context.Context, outage *Outage, round func(context.Context) error) {
	pause := BackOff(100*time.Millisecond, 5*time.Second)
	for ctx.Err() == nil {
		err := round(ctx)
		outage.Note(ctx, err)
		if err == nil {
			pause.Reset()
			continue
		}
		Sleep(ctx, pause.NextBackOff())
	}
}
