package outbox

import (
	"errors"
	"sync"
	"time"
)

// errLeaseEnded says that a relay has not heard for too long that it still owns its partitions.
var errLeaseEnded = errors.New("the ownership of the partitions was not confirmed in time")

// lease is the time for which an owner may publish since PostgreSQL last confirmed its locks. The
// locks themselves end with the session, which a process that stalls, or a machine that is
// suspended, does not notice: when it goes on, another relay may own its partitions, and the
// stream may have forgotten the ids of what that one published. So an owner looks at its lease
// before each publication. What is published within the lease after the session ended is a
// repetition whose id the stream still knows, as long as lease and PublishTimeout together are
// shorter than the stream's Duplicates window. What stalls between the look and the socket cannot
// be kept back; consumers know it by its id.
type lease struct {
	span time.Duration
	now  func() time.Time

	mu        sync.Mutex
	confirmed time.Time // guarded by mu; zero: never
}

// confirm notes that the locks were held at a time.
func (l *lease) confirm(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed = at
}

// check returns errLeaseEnded unless the lease lasts.
func (l *lease) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	passed := now.Sub(l.confirmed)
	// A monotonic clock stands still while the machine is suspended, so the wall clock counts, too.
	if wall := now.Round(0).Sub(l.confirmed.Round(0)); l.confirmed.IsZero() || max(passed, wall) > l.span {
		return errLeaseEnded
	}
	return nil
}
