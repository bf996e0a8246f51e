package servers_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// replicated is a server whose commits can wait for another.
func replicated() servers.PostgresOptions {
	return servers.PostgresOptions{MaxConnections: 20, Settings: map[string]string{"synchronous_commit": "on"}}
}

func TestStandbyTakesOver(t *testing.T) {
	t.Parallel()
	primary := startPostgres(t, replicated())
	execute(t, primary, "CREATE TABLE kept (n int)")
	startStandby(t, primary, servers.StandbyOptions{}) // makes the primary one that waits, which the next copies
	standby := startStandby(t, primary, servers.StandbyOptions{})
	execute(t, primary, "INSERT INTO kept VALUES (1)")
	if _, err := connect(t, standby.URL("postgres")).Exec(t.Context(), "INSERT INTO kept VALUES (2)"); err == nil {
		t.Error("a standby took a write")
	}
	if err := errors.Join(primary.AwaitSync(t.Context()), primary.Kill()); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, standby, "INSERT INTO kept VALUES (2)") // waits for no standby
	if got := number(t, standby, "SELECT count(*) FROM kept"); got != 2 {
		t.Errorf("%d rows after the failover, want 2", got)
	}

	// And on: the promoted server is a primary like any other.
	next := startStandby(t, standby, servers.StandbyOptions{Dir: filepath.Join(passableDir(t), "next")})
	if err := errors.Join(standby.Kill(), next.Promote(t.Context())); err != nil {
		t.Fatal(err)
	}
	execute(t, next, "INSERT INTO kept VALUES (3)")
	if got := number(t, next, "SELECT count(*) FROM kept"); got != 3 {
		t.Errorf("%d rows after the second failover, want 3", got)
	}
	if err := next.Promote(t.Context()); err == nil {
		t.Error("promoted a server that is no standby")
	}
}

func TestCommitsWaitForTheStandby(t *testing.T) {
	t.Parallel()
	primary := startPostgres(t, replicated())
	execute(t, primary, "CREATE TABLE kept (n int)")
	standby := startStandby(t, primary, servers.StandbyOptions{})
	if err := standby.Down(servers.FastShutdown); err != nil {
		t.Fatal(err)
	}
	waiting := connect(t, primary.URL("postgres"))
	committed := make(chan error, 1)
	go func() {
		_, err := waiting.Exec(context.WithoutCancel(t.Context()), "INSERT INTO kept VALUES (1)")
		committed <- err
	}()
	servers.Eventually(t, "a commit that waits", func() bool {
		return number(t, primary, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 1
	})
	if err := errors.Join(standby.Up(t.Context()), <-committed); err != nil {
		t.Fatalf("commit when the standby is back: %v", err)
	}
	if err := errors.Join(primary.AwaitSync(t.Context()), standby.Kill()); err != nil {
		t.Fatal(err)
	}
	if err := primary.Alone(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, primary, "INSERT INTO kept VALUES (1)")

	// One that hangs does not keep its primary from an orderly end.
	if err := errors.Join(standby.Up(t.Context()), standby.Pause(), primary.Restart(t.Context(), servers.FastShutdown)); err != nil {
		t.Error(err)
	}
}

func TestStandbyGoesByTheGivenAddress(t *testing.T) {
	t.Parallel()
	primary := startPostgres(t, servers.PostgresOptions{})
	execute(t, primary, "CREATE TABLE kept (n int)")
	if standby, err := primary.Standby(t.Context(), servers.StandbyOptions{}); err == nil || !strings.Contains(err.Error(), "synchronous_commit") {
		t.Fatalf("a synchronous standby of a server that does not wait: %v, %v", standby, err)
	}
	way := newLink(t, "127.0.0.1:"+setting(t, primary, "port"))
	standby := startStandby(t, primary, servers.StandbyOptions{PrimaryAddr: way.listener.Addr().String(), Asynchronous: true})
	rows := func(want int) func() bool {
		return func() bool { return number(t, standby, "SELECT count(*) FROM kept") == want }
	}
	execute(t, primary, "INSERT INTO kept VALUES (1)")
	servers.Eventually(t, "the row on the standby", rows(1))
	way.cut(true)
	servers.Eventually(t, "the end of replication", func() bool {
		return number(t, primary, "SELECT count(*) FROM pg_stat_replication") == 0
	})
	execute(t, primary, "INSERT INTO kept VALUES (1)")
	if !rows(1)() {
		t.Error("the standby went around the cut")
	}
	way.cut(false)
	servers.Eventually(t, "the second row on the standby", rows(2))
}

func TestPostgresDumpsAndRestores(t *testing.T) {
	t.Parallel()
	pg, other := startPostgres(t, servers.PostgresOptions{}), startPostgres(t, servers.PostgresOptions{})
	execute(t, pg, "CREATE TABLE kept AS SELECT 42 AS answer")
	file := filepath.Join(t.TempDir(), "postgres.dump")
	if err := errors.Join(pg.Dump(t.Context(), "postgres", file), pg.Dump(t.Context(), "postgres", file)); err != nil {
		t.Fatal(err)
	}
	if err := other.RestoreDump(t.Context(), "restored", file); err != nil {
		t.Fatal(err)
	}
	var answer int
	if err := connect(t, other.URL("restored")).QueryRow(t.Context(), "SELECT answer FROM kept").Scan(&answer); err != nil || answer != 42 {
		t.Errorf("restored %d (%v), want 42", answer, err)
	}
	if err := other.RestoreDump(t.Context(), "restored", file); err == nil || !strings.Contains(err.Error(), "kept") {
		t.Errorf("restore over what is there: %v, want a refusal that names the table", err)
	}
	if err := pg.Dump(t.Context(), "nowhere", file); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("dump of a database that is not there: %v", err)
	}
}

func startStandby(t *testing.T, primary *servers.Postgres, o servers.StandbyOptions) *servers.Postgres {
	t.Helper()
	standby, err := primary.Standby(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Stop(); err != nil {
			t.Error(err)
		}
	})
	return standby
}
