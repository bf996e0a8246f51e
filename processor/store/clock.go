package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// clockAgeMax is the age from which a measurement of the database's clock is not used any more.
	clockAgeMax = 5 * time.Second
	// clockTimeout bounds one measurement, and with it its error.
	clockTimeout = 5 * time.Second
	// clockStandMax is the largest difference for which a Clock stands still until the database has
	// caught up. It is more than the error of two measurements, and than the drift between them.
	clockStandMax = 2 * clockTimeout
	// clockJump is the difference between the time that passed on the process's wall clock and
	// on its monotonic clock from which a measurement is not used any more: the machine was
	// suspended, or its clock was set.
	clockJump = time.Second
)

// Clock is the time of the database, for decisions that guard money: however wrong the clocks of
// two processes are, they compare times of one clock. It may be used concurrently.
//
// A Clock keeps the offset of the database's clock_timestamp to the monotonic clock of the
// process, and measures it again when it is older than five seconds. The true time of the database
// lies in the round trip of the measurement, so it is known up to half of that. Now returns the
// latest time it can be: what is guarded by an age, such as a key that a gateway forgets, is then
// never taken for younger than it is.
//
// Now never goes back within a process. Where a measurement says that the database is behind by up
// to ten seconds, which is the error of the measurements, the drift of two clocks or a failover,
// Now stands still until the database has caught up. Where the database is further behind, it has
// failed over to a server with a wrong clock, and Now runs on as if that had not happened. A jump
// forward is taken at once. So after a failover an age may be underestimated by as much as the new
// server's clock is behind the old one's, by processes that started since: a limit on an age needs
// a margin above the difference between the clocks of the database's servers.
type Clock struct {
	pool    *pgxpool.Pool
	process func() time.Time

	mu sync.Mutex
	// at is when the latest measurement ended, by the process's clock; zero: there is none.
	at time.Time
	// was is the time of the clock at that moment.
	was time.Time
	// latest is the latest time that was returned.
	latest time.Time
	// under is the measurement under way; nil if there is none.
	under *measurement
}

// measurement is shared by all who wait for it.
type measurement struct {
	done chan struct{} // closed at the end
	err  error
}

// NewClock returns a clock that has not measured yet. process is the process's clock, time.Now in
// production. The pool stays the caller's.
func NewClock(pool *pgxpool.Pool, process func() time.Time) *Clock {
	return &Clock{pool: pool, process: process}
}

// Now returns the time of the database, in UTC. It asks the database if the latest measurement is
// older than five seconds; callers at the same time share the answer. The error is that of the
// database, about which [Retryable] tells, or that of ctx.
func (c *Clock) Now(ctx context.Context) (time.Time, error) {
	for {
		now, under := c.known() //nolint:contextcheck // A measurement is shared: it does not end with one caller.
		if under == nil {
			return now, nil
		}
		select {
		case <-under.done:
			if under.err != nil {
				return time.Time{}, fmt.Errorf("ask the database for the time: %w", under.err)
			}
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("ask the database for the time: %w", ctx.Err())
		}
	}
}

// known returns the time, or the measurement to wait for.
func (c *Clock) known() (time.Time, *measurement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.under != nil {
		return time.Time{}, c.under
	}
	now := c.process()
	passed := now.Sub(c.at)
	jump := now.Round(0).Sub(c.at.Round(0)) - passed // Round takes the monotonic reading away.
	if c.at.IsZero() || passed < 0 || passed > clockAgeMax || jump.Abs() > clockJump {
		c.under = &measurement{done: make(chan struct{})}
		go c.measure(c.under)
		return time.Time{}, c.under
	}
	if at := c.was.Add(passed); at.After(c.latest) {
		c.latest = at
	}
	return c.latest, nil
}

// measure does not end with a caller, since others may wait for it.
func (c *Clock) measure(m *measurement) {
	ctx, cancel := context.WithTimeout(context.Background(), clockTimeout)
	defer cancel()
	began := c.process()
	var database time.Time
	err := c.pool.QueryRow(ctx, clockSQL).Scan(&database)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.take(database.UTC(), began, c.process())
	}
	m.err, c.under = err, nil
	close(m.done)
}

// take notes a time that the database said between two moments of the process.
func (c *Clock) take(database, began, ended time.Time) {
	measured := database.Add(max(ended.Sub(began), 0))
	if running := c.was.Add(ended.Sub(c.at)); !c.at.IsZero() && ended.After(c.at) && running.Sub(measured) > clockStandMax {
		measured = running
	}
	c.at, c.was = ended, measured
}
