package rig

import (
	"context"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

// Stages are the times of one fault: when it was brought about, and when its cause was gone. What comes after that is the system's
// own recovery, as far as the fault waits for it. A fault that says nothing struck when it began and was healed when it ended.
type Stages struct {
	now func() time.Time

	mu             sync.Mutex
	struck, healed time.Time
}

// strikes says that the fault is brought about; of several times the first counts.
func (s *Stages) strikes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.struck.IsZero() {
		s.struck = s.now()
	}
}

// heals says that the cause is gone; of several times the last counts.
func (s *Stages) heals() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = s.now()
}

// last lets the fault last so long, less if ctx ends: it has been brought about, and its cause goes now.
func (s *Stages) last(ctx context.Context, lasting time.Duration) {
	s.strikes()
	retry.Sleep(ctx, lasting)
	s.heals()
}

// write puts the times into an injection that has its beginning and its end.
func (s *Stages) write(i *Injection, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Struck, i.Healed = i.At, i.Until
	if !s.struck.IsZero() {
		i.Struck = s.struck.Sub(began)
	}
	if !s.healed.IsZero() {
		i.Healed = max(i.Struck, s.healed.Sub(began))
	}
}
