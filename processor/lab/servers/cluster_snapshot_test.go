package servers_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestClusterGoesBackToASnapshot(t *testing.T) {
	t.Parallel()
	c := servers.NATSCluster(t, nodeArgument, servers.ClusterOptions{})
	js := clusterStreams(t, c)
	createStream(t, js)
	publish(t, js)
	snapshot := filepath.Join(t.TempDir(), "snapshots", "first")
	if err := c.Snapshot(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	if err := c.Snapshot(t.Context(), snapshot); err == nil {
		t.Error("a second snapshot went over the first")
	}
	publish(t, js)
	wantMessages(t, js, 2)
	if err := c.Restore(t.Context(), snapshot); err != nil {
		t.Fatal(err)
	}
	if got := messages(t, js); got != 1 {
		t.Errorf("%d messages after the restore, want the one before the snapshot", got)
	}
	publish(t, js)
	if err := c.Restore(t.Context(), t.TempDir()); err == nil {
		t.Error("restored from an empty folder")
	}
}

func TestNodeComesBackWithAnOldStore(t *testing.T) {
	t.Parallel()
	c := servers.NATSCluster(t, nodeArgument, servers.ClusterOptions{})
	js := clusterStreams(t, c)
	createStream(t, js)
	publish(t, js)
	awaitReady(t, c)
	old, store := c.Node(0), filepath.Join(t.TempDir(), "n1")
	if err := old.LoadStore(store); err == nil || !strings.Contains(err.Error(), "it runs") {
		t.Errorf("replaced the store of a node that runs: %v", err)
	}
	restore := []func() error{
		old.Stop,
		func() error { return old.SaveStore(store) },
		func() error { return old.Start(t.Context()) },
		func() error { return c.AwaitReady(t.Context()) },
		func() error { publish(t, js); return nil },
		old.Stop,
		func() error { return old.LoadStore(store) },
		func() error { return old.Start(t.Context()) },
		func() error { return c.AwaitReady(t.Context()) },
	}
	for i, step := range restore {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	wantMessages(t, js, 2) // the others brought it up to date
}

func TestClusterKeepsAGivenFolder(t *testing.T) {
	t.Parallel()
	o := servers.ClusterOptions{Dir: filepath.Join(t.TempDir(), "made by the first start")}
	first := servers.NATSCluster(t, nodeArgument, o)
	js := clusterStreams(t, first)
	createStream(t, js)
	publish(t, js)
	o.Program = []string{"true"}
	if second, err := servers.StartCluster(t.Context(), o); err == nil {
		t.Errorf("a second cluster started in the same folder: %v", second.Stop())
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := messages(t, clusterStreams(t, servers.NATSCluster(t, nodeArgument, o))); got != 1 {
		t.Errorf("%d messages after the second start, want 1", got)
	}
}

func messages(t *testing.T, js jetstream.JetStream) (count uint64) {
	t.Helper()
	servers.Eventually(t, "the stream", func() bool {
		stream, err := js.Stream(t.Context(), "KEPT")
		if err == nil {
			count = stream.CachedInfo().State.Msgs
		}
		return err == nil
	})
	return count
}

func TestNodeComesBackWithoutItsStore(t *testing.T) {
	t.Parallel()
	c := servers.NATSCluster(t, nodeArgument, servers.ClusterOptions{})
	js := clusterStreams(t, c)
	createStream(t, js)
	publish(t, js)
	awaitReady(t, c)
	n := c.Node(0)
	if err := n.ClearStore(); err == nil || !strings.Contains(err.Error(), "it runs") {
		t.Errorf("cleared the store of a node that runs: %v", err)
	}
	for _, do := range []func() error{
		n.Stop, n.ClearStore,
		func() error {
			if err := n.SaveStore(filepath.Join(t.TempDir(), "n1")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is left of the store can be saved: %v", err)
			}
			servers.Eventually(t, "only the node that is down is not well", func() bool { return slices.Equal(c.Unwell(t.Context()), []int{0}) })
			return nil
		},
		func() error { return n.Start(t.Context()) },
		func() error { return c.AwaitReady(t.Context()) },
		c.Node(1).Stop, // from now on nothing goes on without it
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, js)
	wantMessages(t, js, 2) // the other gave it what was stored before
}
