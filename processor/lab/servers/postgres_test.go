package servers_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestPostgresKeepsTheDataOfAGivenFolder(t *testing.T) {
	t.Parallel()
	o := servers.PostgresOptions{Dir: passableDir(t), Durable: true}
	first := startPostgres(t, o)
	if err := first.CreateDatabase(t.Context(), "ledger"); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, first.URL("ledger")).Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatalf("write: %v", err)
	}

	if second, err := servers.StartPostgres(t.Context(), o); err == nil {
		t.Errorf("a second server started in the same folder at %s", second.URL("ledger"))
	}
	if err := errors.Join(first.Stop(), first.Stop()); err != nil {
		t.Fatalf("stop: %v", err)
	}

	again := startPostgres(t, o)
	if err := again.CreateDatabase(t.Context(), "ledger"); err != nil {
		t.Errorf("create a database that is there: %v", err)
	}
	var answer int
	if err := connect(t, again.URL("ledger")).QueryRow(t.Context(), "SELECT answer FROM kept").Scan(&answer); err != nil {
		t.Fatalf("read: %v", err)
	}
	if answer != 42 {
		t.Errorf("read %d, want 42", answer)
	}
}

func TestPostgresRemovesATemporaryFolder(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, servers.PostgresOptions{})
	data := setting(t, pg, "data_directory")
	if err := pg.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(data)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s after Stop: %v, want it gone", filepath.Dir(data), err)
	}
}

func TestPostgresIsFastOrDurableAsAsked(t *testing.T) {
	t.Parallel()
	for _, want := range []struct {
		durable bool
		fsync   string
	}{{false, "off"}, {true, "on"}} {
		pg := startPostgres(t, servers.PostgresOptions{
			Durable: want.durable, MaxConnections: 20, Settings: map[string]string{"application_name": "mine"},
		})
		if got := setting(t, pg, "fsync"); got != want.fsync {
			t.Errorf("durable %t: fsync is %s, want %s", want.durable, got, want.fsync)
		}
		if got := setting(t, pg, "max_connections"); got != "20" {
			t.Errorf("max_connections is %s, want 20", got)
		}
	}
}

func TestPostgresAsksForThePassword(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, servers.PostgresOptions{})
	address, err := url.Parse(pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(servers.Superuser, "guessed")
	conn, err := pgx.Connect(t.Context(), address.String())
	if err == nil {
		_ = conn.Close(t.Context())
	}
	refused := new(pgconn.PgError)
	if !errors.As(err, &refused) || refused.Code != "28P01" { // invalid_password
		t.Errorf("a wrong password: %v, want invalid_password", err)
	}
}

func TestPostgresNamesATakenPort(t *testing.T) {
	t.Parallel()
	port := takePort(t)
	_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{Port: port.Port})
	if err == nil || !strings.Contains(err.Error(), port.String()[len("127.0.0.1:"):]) {
		t.Errorf("start on a taken port: %v, want an error that names it", err)
	}
}

func TestPostgresStartsBesideTheUsualPorts(t *testing.T) {
	t.Parallel()
	for _, usual := range []string{"127.0.0.1:5432", "127.0.0.1:4222"} {
		// If this fails, another program has the port, which serves the test too.
		if listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", usual); err == nil {
			t.Cleanup(func() { _ = listener.Close() })
		}
	}
	startPostgres(t, servers.PostgresOptions{})
	servers.NATS(t)
}

func TestPostgresSaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{Settings: map[string]string{"shared_buffers": "much"}})
	if err == nil || !strings.Contains(err.Error(), `"shared_buffers": "much"`) {
		t.Errorf("start with a wrong setting: %v, want the server's own words", err)
	}
}

func TestPostgresMissing(t *testing.T) {
	t.Parallel()
	_, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{Bin: t.TempDir()})
	if !errors.Is(err, servers.ErrPostgresMissing) {
		t.Errorf("start from an empty folder: %v, want ErrPostgresMissing", err)
	}
}

func TestPostgresRefusesAWorkshopOfOthers(t *testing.T) {
	dir := passableDir(t)
	t.Setenv("TMPDIR", dir)
	pg := startPostgres(t, servers.PostgresOptions{}) // makes the workshop
	workshops, err := filepath.Glob(filepath.Join(dir, "tender-*"))
	if err != nil || len(workshops) != 1 {
		t.Fatalf("workshops %v (%v), want one", workshops, err)
	}
	if err := errors.Join(pg.Stop(), os.Chmod(workshops[0], 0o777)); err != nil {
		t.Fatal(err)
	}
	if pg, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{}); err == nil {
		t.Errorf("a server started in a folder that other users can write to: %v", pg.Stop())
	}
}

// startPostgres starts a server that is stopped at the end of the test.
func startPostgres(t *testing.T, o servers.PostgresOptions) *servers.Postgres {
	t.Helper()
	pg, err := servers.StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	return pg
}

func setting(t *testing.T, pg *servers.Postgres, name string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pg.URL("postgres"))
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var value string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&value); err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return value
}

// passableDir is a folder of the test that another user can pass through, which the server of root
// needs.
func passableDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(folder, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// takePort occupies a loopback port for the length of the test.
func takePort(t *testing.T) *net.TCPAddr {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().(*net.TCPAddr)
}

func TestCreateRoleMayBeRepeated(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t, servers.PostgresOptions{})
	for _, password := range []string{"first", "it's the second"} {
		if err := pg.CreateRole(t.Context(), "clerk", password); err != nil {
			t.Fatal(err)
		}
		address, err := url.Parse(pg.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		address.User = url.UserPassword("clerk", password)
		conn, err := pgx.Connect(t.Context(), address.String())
		if err != nil {
			t.Fatalf("log in with the password %q: %v", password, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
