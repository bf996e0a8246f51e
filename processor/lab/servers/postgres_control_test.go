package servers_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestPostgresComesBackFromEveryEnd(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, servers.PostgresOptions{Settings: map[string]string{"synchronous_commit": "on"}})
	address := pg.URL("postgres")
	execute(t, pg, "CREATE TABLE kept (n int)")
	for i, end := range []func() error{
		func() error { return pg.Down(servers.FastShutdown) },
		func() error { return pg.Down(servers.ImmediateShutdown) },
		pg.Kill,
		func() error { return errors.Join(pg.Pause(), pg.Kill()) },
		func() error { return errors.Join(pg.Pause(), pg.Down(servers.FastShutdown)) },
	} {
		session := connect(t, address) // a process of the server that outlives a careless end
		execute(t, pg, "INSERT INTO kept VALUES (1)")
		if err := errors.Join(end(), end2(i, pg)); err != nil || pg.Running() {
			t.Fatalf("end %d: %v, running %t", i, err, pg.Running())
		}
		if _, err := session.Exec(t.Context(), "SELECT"); err == nil {
			t.Errorf("end %d: a session goes on", i)
		}
		if err := errors.Join(pg.Up(t.Context()), pg.Up(t.Context())); err != nil {
			t.Fatalf("start after end %d: %v", i, err)
		}
		if pg.URL("postgres") != address {
			t.Errorf("address after end %d is %s, want %s", i, pg.URL("postgres"), address)
		}
		if got := number(t, pg, "SELECT count(*) FROM kept"); got != i+1 {
			t.Errorf("after end %d: %d rows, want %d", i, got, i+1)
		}
	}
	if err := pg.Restart(t.Context(), servers.ImmediateShutdown); err != nil {
		t.Error(err)
	}
	if err := errors.Join(pg.Kill(), pg.Stop()); err != nil {
		t.Errorf("stop after a kill: %v", err)
	}
}

// end2 repeats an end, which must do nothing.
func end2(i int, pg *servers.Postgres) error {
	if i%2 == 0 {
		return pg.Down(servers.FastShutdown)
	}
	return pg.Kill()
}

func TestPostgresAnswersNothingWhilePaused(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, servers.PostgresOptions{})
	old := connect(t, pg.URL("postgres"))
	if err := pg.Pause(); err != nil {
		t.Fatal(err)
	}
	if !pg.Running() {
		t.Error("a paused server does not live")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := old.Exec(t.Context(), "SELECT")
		answered <- err
	}()
	if _, err := pgx.Connect(ctx, pg.URL("postgres")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connect to a paused server: %v, want a timeout", err)
	}
	select {
	case err := <-answered:
		t.Errorf("a paused server answered: %v", err)
	default:
	}
	if err := errors.Join(pg.Resume(), pg.Resume()); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the old session after the pause: %v", err)
	}
}

func TestPostgresCutsSessions(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, servers.PostgresOptions{})
	if err := pg.CreateDatabase(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	session, other := connect(t, pg.URL("busy")), connect(t, pg.URL("postgres"))
	if cut, err := pg.CutSessions(t.Context(), "busy"); err != nil || cut != 1 {
		t.Errorf("cut %d sessions (%v), want 1", cut, err)
	}
	if _, err := session.Exec(t.Context(), "SELECT"); err == nil {
		t.Error("a session outlived the cut")
	}
	if _, err := other.Exec(t.Context(), "SELECT"); err != nil {
		t.Errorf("a session of another database: %v", err)
	}
}

func TestPostgresRunsOutOfDisk(t *testing.T) {
	t.Parallel()
	pg, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{DiskMB: 160})
	if os.Geteuid() != 0 {
		if !errors.Is(err, servers.ErrNoSmallDisk) {
			t.Errorf("a small disk without root: %v, want ErrNoSmallDisk", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	data := setting(t, pg, "data_directory")
	execute(t, pg, "CREATE TABLE kept (n int)", "CREATE TABLE heap (filler text)", "INSERT INTO kept VALUES (1)",
		"ALTER TABLE heap ALTER filler SET STORAGE PLAIN", "SELECT pg_switch_wal()", "CHECKPOINT", "INSERT INTO kept VALUES (1)")

	if err := pg.FillDisk(0); err != nil {
		t.Fatal(err)
	}
	_, err = connect(t, pg.URL("postgres")).Exec(t.Context(), "INSERT INTO heap SELECT repeat('x', 7000) FROM generate_series(1, 500)")
	if refused := new(pgconn.PgError); !errors.As(err, &refused) || refused.Code != "53100" { // disk_full
		t.Errorf("a table that cannot grow: %v, want disk_full", err)
	}
	if got := number(t, pg, "SELECT count(*) FROM kept"); got != 2 {
		t.Errorf("read on a full disk: %d rows, want 2", got)
	}

	// Log alone, more than a segment of it.
	_, err = connect(t, pg.URL("postgres")).Exec(t.Context(),
		"SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)) FROM generate_series(1, 64)")
	if err == nil {
		t.Error("the log grew on a full disk")
	}
	servers.Eventually(t, "the server's panic", func() bool {
		log, err := os.ReadFile(pg.Log())
		return err == nil && strings.Contains(string(log), "PANIC:") && strings.Contains(string(log), "No space left on device")
	})
	if err := errors.Join(pg.FreeDisk(), pg.Up(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := number(t, pg, "SELECT count(*) FROM kept"); got != 2 {
		t.Errorf("after the disk was freed: %d rows, want 2", got)
	}
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(data)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s after Stop: %v, want it gone", filepath.Dir(data), err)
	}
}

func TestPostgresFillsNoDiskOfOthers(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, servers.PostgresOptions{})
	if err := pg.FillDisk(0); !errors.Is(err, servers.ErrNoSmallDisk) {
		t.Errorf("fill a shared disk: %v, want ErrNoSmallDisk", err)
	}
	_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{Dir: passableDir(t), DiskMB: 64})
	if !errors.Is(err, servers.ErrNoSmallDisk) {
		t.Errorf("a small disk for a kept folder: %v, want ErrNoSmallDisk", err)
	}
}

// execute runs statements on a connection of their own.
func execute(t *testing.T, pg *servers.Postgres, statements ...string) {
	t.Helper()
	conn := connect(t, pg.URL("postgres"))
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func number(t *testing.T, pg *servers.Postgres, query string) (n int) {
	t.Helper()
	conn := connect(t, pg.URL("postgres"))
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
