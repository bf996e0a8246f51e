package servers_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// childVariable makes the test binary run child instead of the tests.
const childVariable = "SERVERS_CHILD"

// child starts servers of each kind, tells where they are, and waits to be killed.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := servers.PostgresOptions{}
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		o.DiskMB = 128
	}
	pg, err := servers.StartPostgres(ctx, o)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	bus, err := servers.StartNATS(ctx, servers.NATSOptions{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	cluster, err := servers.StartCluster(ctx, servers.ClusterOptions{Program: []string{self, nodeArgument}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(pg.URL("postgres"))
	fmt.Println(cluster.ClientAddr(0))
	fmt.Println(bus.URL())
	<-ctx.Done()
	return 0
}

// TestUnprivileged runs another test of this binary as a user who is not root.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	dir := passableDir(t)
	binary := copyBinary(t, dir)
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestDatabasesAreSeparate$", "-test.v")
	cmd.Dir = dir
	temporary := filepath.Join(dir, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := os.Chown(temporary, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestDatabasesAreSeparate") {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
}

// copyBinary puts this test binary where another user can run it.
func copyBinary(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "servers.test")
	if err := os.WriteFile(binary, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return binary
}

// startChild runs child and returns it with the addresses of its servers.
func startChild(t *testing.T) (cmd *exec.Cmd, postgres, node, nats string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, address := range []*string{&postgres, &node, &nats} {
		if !lines.Scan() {
			t.Fatalf("the child said nothing: %v, %v", lines.Err(), cmd.Wait())
		}
		*address = lines.Text()
	}
	if !strings.HasPrefix(nats, "nats://") {
		t.Fatalf("the child failed: %s %s %s", postgres, node, nats)
	}
	return cmd, postgres, node, nats
}
