package servers_test

import (
	"context"
	"crypto/rand"
	"flag"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == nodeArgument {
		os.Exit(node(os.Args[2]))
	}
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	flag.Parse()
	// Most of these tests wait: for elections, timeouts and other programs. Several fit on one
	// processor.
	if atOnce := flag.Lookup("test.parallel"); atOnce.Value.String() == atOnce.DefValue {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(servers.Main(m))
}

func TestDatabasesAreSeparate(t *testing.T) {
	t.Parallel()
	for range 4 {
		conn := connect(t, servers.Database(t))
		if _, err := conn.Exec(t.Context(), "CREATE TABLE only_one_of_its_name ()"); err != nil {
			t.Errorf("create a table: %v", err)
		}
	}
}

func TestDatabaseIsFilledOnceAndCopied(t *testing.T) {
	t.Parallel()
	name := rand.Text() // another one each time that the test is run
	var filled atomic.Int64
	fill := func(ctx context.Context, url string) error {
		filled.Add(1)
		conn, err := pgx.Connect(ctx, url) // stays open, and must not be in the way
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE TABLE filled AS SELECT 1 AS n")
		return err
	}
	t.Run("copies", func(t *testing.T) {
		for range 4 {
			t.Run("copy", func(t *testing.T) {
				t.Parallel()
				conn := connect(t, servers.DatabaseWith(t, name, fill))
				var n int
				err := conn.QueryRow(t.Context(), "UPDATE filled SET n = n + 1 RETURNING n").Scan(&n)
				if err != nil || n != 2 {
					t.Errorf("a copy holds %d (%v), want 2", n, err)
				}
			})
		}
	})
	if n := filled.Load(); n != 1 {
		t.Errorf("filled %d times, want once", n)
	}
}

func TestDatabaseIsDroppedWhileInUse(t *testing.T) {
	t.Parallel()
	var used, name string
	t.Run("test that leaves a connection open", func(t *testing.T) {
		used = servers.Database(t)
		conn, err := pgx.Connect(context.WithoutCancel(t.Context()), used)
		if err != nil {
			t.Fatalf("connect: %v", err)
		}
		name = conn.Config().Database
	})
	var there bool
	err := connect(t, servers.Database(t)).QueryRow(t.Context(),
		"SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	if err != nil {
		t.Fatalf("look for %s: %v", name, err)
	}
	if there {
		t.Errorf("database %s outlived its test", name)
	}
}

func TestDatabaseStartsEmptyAndUTF8(t *testing.T) {
	t.Parallel()
	var encoding, zone string
	err := connect(t, servers.Database(t)).QueryRow(t.Context(),
		"SELECT current_setting('server_encoding'), current_setting('timezone')").Scan(&encoding, &zone)
	if err != nil {
		t.Fatalf("read settings: %v", err)
	}
	if encoding != "UTF8" || zone != "UTC" {
		t.Errorf("encoding %s, time zone %s; want UTF8, UTC", encoding, zone)
	}
}

func TestEventuallySeesWhatComesLater(t *testing.T) {
	t.Parallel()
	looked := 0
	servers.Eventually(t, "the third look", func() bool {
		looked++
		return looked == 3
	})
	if looked != 3 {
		t.Errorf("looked %d times, want 3", looked)
	}
}

// connect opens a connection that is closed at the end of the test.
func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return conn
}
