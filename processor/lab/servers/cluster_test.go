package servers_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// nodeArgument makes the test binary run a node of a cluster instead of the tests.
const nodeArgument = "nats-node"

// node runs a node until SIGTERM.
func node(configFile string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := servers.RunNATSNode(ctx, configFile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestClusterOutlivesTheDeathOfALeader(t *testing.T) {
	t.Parallel()
	c := servers.NATSCluster(t, nodeArgument, servers.ClusterOptions{SyncAlways: true, MaxStore: 64 << 20})
	js := clusterStreams(t, c)
	createStream(t, js)
	publish(t, js)
	dead := leader(t, c)
	if err := errors.Join(dead.Kill(), dead.Kill()); err != nil || dead.Running() {
		t.Fatalf("kill: %v, running %t", err, dead.Running())
	}
	if err := c.AwaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), dead.Name()) {
		t.Errorf("ready without node %s: %v", dead.Name(), err)
	}
	publish(t, js)
	if next := leader(t, c); next == dead {
		t.Errorf("the dead node %s leads", dead.Name())
	}
	for range 2 {
		if err := dead.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	awaitReady(t, c)
	if err := leader(t, c).Stop(); err != nil {
		t.Fatal(err)
	}
	publish(t, js)
	wantMessages(t, js, 3)
}

func TestClusterOutlivesAPausedLeader(t *testing.T) {
	t.Parallel()
	c := servers.NATSCluster(t, nodeArgument, servers.ClusterOptions{})
	js := clusterStreams(t, c)
	createStream(t, js)
	publish(t, js)
	paused := leader(t, c)
	if err := paused.Pause(); err != nil {
		t.Fatal(err)
	}
	publish(t, js)
	if next := leader(t, c); next == paused {
		t.Errorf("the paused node %s leads", paused.Name())
	}
	if err := paused.Resume(); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, c)
	servers.Eventually(t, "a meta leader", func() bool {
		_, err := c.MetaLeader(t.Context())
		return err == nil
	})
	if err := errors.Join(paused.Pause(), paused.Stop()); err != nil {
		t.Errorf("stop a paused node: %v", err)
	}
	wantMessages(t, js, 2)
}

func TestClusterWithoutAMajorityHasNoLeader(t *testing.T) {
	t.Parallel()
	c := servers.NATSCluster(t, nodeArgument, servers.ClusterOptions{})
	createStream(t, clusterStreams(t, c))
	if err := errors.Join(c.Node(0).Kill(), c.Node(1).Kill()); err != nil {
		t.Fatal(err)
	}
	for _, find := range []func() (int, error){
		func() (int, error) { return c.MetaLeader(t.Context()) },
		func() (int, error) { return c.Leader(t.Context(), "KEPT") },
		func() (int, error) { return c.Leader(t.Context(), "no such stream") },
	} {
		if found, err := find(); !errors.Is(err, servers.ErrNoLeader) {
			t.Errorf("leader of one of three nodes: %d, %v, want ErrNoLeader", found, err)
		}
	}
}

func TestClusterSaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := servers.StartCluster(t.Context(), servers.ClusterOptions{Program: []string{"sh", "-c", "echo no such luck; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("start of a program that fails: %v, want its own words", err)
	}
	if _, err := servers.StartCluster(t.Context(), servers.ClusterOptions{}); err == nil {
		t.Error("started without a program")
	}
}

// clusterStreams connects to all nodes of a cluster.
func clusterStreams(t *testing.T, c *servers.Cluster) jetstream.JetStream {
	t.Helper()
	conn := servers.Connect(t, strings.Join(c.URLs(), ","), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.PingInterval(time.Second)) // without pings a client does not notice that a server hangs
	return streams(t, conn)
}

// createStream makes a stream on three nodes and a durable consumer of it. A request during a
// change of leaders has no answer.
func createStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	servers.Eventually(t, "a stream and its consumer", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}, Replicas: 3})
		if err == nil {
			_, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy})
		}
		return err == nil
	})
}

// publish puts one message on the stream, with as many tries as necessary.
func publish(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	id := jetstream.WithMsgID(rand.Text())
	servers.Eventually(t, "an acknowledgement", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := js.Publish(ctx, "kept", []byte("word"), id)
		return err == nil
	})
}

func wantMessages(t *testing.T, js jetstream.JetStream, want uint64) {
	t.Helper()
	if got := messages(t, js); got != want {
		t.Errorf("the stream holds %d messages, want %d", got, want)
	}
}

// leader waits for a leader of the stream.
func leader(t *testing.T, c *servers.Cluster) *servers.Node {
	t.Helper()
	var found int
	servers.Eventually(t, "a leader", func() bool {
		var err error
		found, err = c.Leader(t.Context(), "KEPT")
		return err == nil
	})
	return c.Node(found)
}

func awaitReady(t *testing.T, c *servers.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := c.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}
