package scheduler

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// UnparkerConfig tunes an Unparker. The zero value of a field means its default.
type UnparkerConfig struct {
	// BatchMax is the number of timers brought forward in one transaction; default 500.
	BatchMax int
	// Spread is the time over which the payments parked for a gateway come back once it answers
	// again; default 3 s.
	Spread time.Duration
}

// Unparker brings the payments back that are parked for a gateway, as soon as that answers again.
// It runs beside the workers, who learn of it first; a scheduler fires the timers.
type Unparker struct {
	store *store.Store
	cfg   UnparkerConfig
	log   *zap.Logger
	now   func() time.Time
	wake  chan struct{}

	mu sync.Mutex
	// answering are the gateways whose parked payments are to be brought forward; guarded by mu.
	answering map[string]struct{}
}

// NewUnparker returns an unparker that has not begun.
func NewUnparker(s *store.Store, cfg UnparkerConfig, log *zap.Logger, now func() time.Time) *Unparker {
	cfg.BatchMax = cmp.Or(cfg.BatchMax, 500)
	cfg.Spread = cmp.Or(cfg.Spread, 3*time.Second)
	return &Unparker{store: s, cfg: cfg, log: log, now: now, wake: make(chan struct{}, 1), answering: map[string]struct{}{}}
}

// Answers notes that a gateway answers again. It never waits, and may be called at any time, also
// before Run and more often than needed: Run does the work, once for all calls since it last did.
func (u *Unparker) Answers(gateway string) {
	u.mu.Lock()
	u.answering[gateway] = struct{}{}
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default: // A wake-up is on its way.
	}
}

// Run brings payments forward until ctx is done; it always returns nil. While PostgreSQL is away,
// what is to be done stays noted.
func (u *Unparker) Run(ctx context.Context) error {
	outage := retry.Outage{Log: u.log, Failing: "cannot bring parked payments forward; retrying", Over: "bringing parked payments forward again"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.wake:
		}
		err := u.unpark(ctx)
		outage.Note(ctx, err)
		if err != nil && retry.Sleep(ctx, unparkPause) {
			select {
			case u.wake <- struct{}{}:
			default:
			}
		}
	}
}

// unparkPause is the wait after a failure.
const unparkPause = 250 * time.Millisecond

// unpark brings forward the payments of every gateway that was noted.
func (u *Unparker) unpark(ctx context.Context) error {
	u.mu.Lock()
	answering := maps.Clone(u.answering)
	clear(u.answering)
	u.mu.Unlock()
	for gateway := range answering {
		moved := 0
		for {
			n, err := u.store.Unpark(ctx, gateway, u.now(), u.cfg.Spread, u.cfg.BatchMax)
			if err != nil {
				u.mu.Lock()
				maps.Copy(u.answering, answering)
				u.mu.Unlock()
				return err
			}
			if moved += n; n < u.cfg.BatchMax {
				break
			}
		}
		delete(answering, gateway)
		if moved > 0 {
			u.log.Info("a gateway answers again: trying its parked payments",
				zap.String("gateway", gateway), zap.Int("payments", moved))
		}
	}
	return nil
}
