package servers_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// TestKilledProcessLeavesNothing kills a process with SIGKILL: its servers must end all the same,
// and the next server that starts must take away what it left on disk.
func TestKilledProcessLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", passableDir(t))
	cmd, postgres, node, _ := startChild(t)
	conn, err := pgx.Connect(t.Context(), postgres)
	if err != nil {
		t.Fatalf("connect to the child's server: %v", err)
	}
	var data string
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatalf("ask for its folder: %v", err)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	servers.Eventually(t, "the end of the server of a killed process", func() bool {
		_, err := os.Stat(filepath.Join(data, "postmaster.pid"))
		return errors.Is(err, os.ErrNotExist)
	})
	servers.Eventually(t, "the end of the node of a killed process", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", node)
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	_ = conn.Close(context.WithoutCancel(t.Context())) // cut off by the server already

	homes := func() []string {
		found, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "tender-*", "run-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := homes(); len(got) != 3 {
		t.Fatalf("left behind: %v, want the homes of a server of each kind", got)
	}
	// A home is given up with the last process that was in it, which may be a moment later.
	servers.Eventually(t, "the next start to take them away", func() bool {
		next := startPostgres(t, servers.PostgresOptions{})
		mine := filepath.Dir(setting(t, next, "data_directory"))
		got := homes()
		if err := next.Stop(); err != nil {
			t.Fatal(err)
		}
		return len(got) == 1 && got[0] == mine
	})
}
