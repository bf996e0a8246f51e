package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Shutdown is how a server is told to end.
type Shutdown int

// The ways to end. Either cuts off whoever is connected; an immediate shutdown writes nothing more, so that the next start recovers from
// the log of the last one, as after a crash.
const (
	FastShutdown Shutdown = iota
	ImmediateShutdown
)

// Running reports whether the server lives. A paused one does; one that ended by itself, over a full disk for one, does not.
func (pg *Postgres) Running() bool {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	return pg.server.running()
}

// Log returns the file that the server logs to, over all its starts.
func (pg *Postgres) Log() string { return pg.home.log() }

// Up starts the server again after Down, Kill or an end of its own, on the same port and data, and returns when it
// accepts connections. One that is up, or recovers from a crash by itself, is only waited for.
func (pg *Postgres) Up(ctx context.Context) error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if pg.server.running() {
		if err := pg.awaitReady(ctx); err == nil || pg.server.running() {
			return err
		}
	}
	if err := pg.awaitGone(); err != nil {
		return err
	}
	if !portFree(ctx, pg.port) {
		return fmt.Errorf("start PostgreSQL again: port %d is taken by another program", pg.port)
	}
	if err := pg.run(ctx); err != nil {
		return fmt.Errorf("start PostgreSQL again: %w", err)
	}
	return nil
}

// Down ends the server and keeps its data: clients see an outage until Up. A paused one is resumed for that. It does
// nothing when the server was ended before, and returns an error when it had ended by itself.
func (pg *Postgres) Down(how Shutdown) error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if pg.down || pg.server == nil {
		return nil
	}
	if err := pg.thawAll(); err != nil {
		return err
	}
	pg.down = true
	var err error
	if how == ImmediateShutdown && pg.server.running() {
		if err = pg.server.signal(syscall.SIGQUIT); err == nil && !pg.server.ended(stopWait) {
			err = fmt.Errorf("end PostgreSQL at once: process %d goes on", pg.server.cmd.Process.Pid)
		}
	} else {
		err = pg.server.stop()
	}
	if err != nil {
		return fmt.Errorf("%w; its log says:\n%s", err, tail(pg.home.log()))
	}
	return nil
}

// Restart takes the server down and up again.
func (pg *Postgres) Restart(ctx context.Context, how Shutdown) error {
	if err := pg.Down(how); err != nil {
		return err
	}
	return pg.Up(ctx)
}

// Kill ends all processes of the server with SIGKILL, as a crash of its machine would, and returns when they are gone, so that Up
// works. What is written but not yet synced survives; with synchronous_commit off, as for a server that is not Durable, the
// last commits are not written yet and are lost. It does nothing when the server is down.
func (pg *Postgres) Kill() error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if !pg.server.running() {
		return nil
	}
	postmaster := pg.server.cmd.Process.Pid
	// Held still it neither starts processes meanwhile nor sees to those that end.
	if err := freeze(postmaster); err != nil {
		return err
	}
	others, err := childrenOf(postmaster)
	if err != nil {
		return errors.Join(err, thaw(postmaster))
	}
	pg.down = true
	for _, pid := range append([]int{postmaster}, others...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill PostgreSQL's process %d: %w", pid, err)
		}
	}
	if !pg.server.ended(quitWait) {
		return fmt.Errorf("kill PostgreSQL: process %d goes on", postmaster)
	}
	return pg.awaitGone()
}

// awaitGone waits for the processes that a postmaster left behind.
func (pg *Postgres) awaitGone() error {
	if err := pg.lives.SetReadDeadline(time.Now().Add(stopWait)); err != nil {
		return fmt.Errorf("wait for PostgreSQL's processes: %w", err)
	}
	if _, err := pg.lives.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for PostgreSQL's processes: some are there %s after their postmaster", stopWait)
	}
	return nil
}

// Pause holds all processes of the server still and returns when they are: connections stay open and new ones are taken
// by the kernel, and nothing answers. Holding the postmaster alone would only keep new sessions out. Resume lets it go on;
// Down, Kill and Stop end it.
func (pg *Postgres) Pause() error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	if !pg.server.running() {
		return errors.New("pause PostgreSQL: it is down")
	}
	postmaster := pg.server.cmd.Process.Pid
	pg.paused = []int{postmaster}
	if err := freeze(postmaster); err != nil {
		return err
	}
	others, err := childrenOf(postmaster)
	if err != nil {
		return errors.Join(err, pg.thawAll())
	}
	for _, pid := range others {
		pg.paused = append(pg.paused, pid)
		if err := freeze(pid); err != nil {
			return errors.Join(err, pg.thawAll())
		}
	}
	return nil
}

// Resume lets a paused server go on, unaware of the time that has passed. It does nothing to one that is not paused.
func (pg *Postgres) Resume() error {
	pg.mu.Lock()
	defer pg.mu.Unlock()
	return pg.thawAll()
}

func (pg *Postgres) thawAll() error {
	var errs []error
	for _, pid := range pg.paused {
		errs = append(errs, thaw(pid))
	}
	pg.paused = nil
	return errors.Join(errs...)
}

// CutSessions ends the sessions of a database and returns how many there were. The server goes on.
func (pg *Postgres) CutSessions(ctx context.Context, database string) (int, error) {
	count := 0
	err := pg.administer(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))
			FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`, database).Scan(&count)
	})
	if err != nil {
		return 0, fmt.Errorf("cut the sessions of database %s: %w", database, err)
	}
	return count, nil
}
