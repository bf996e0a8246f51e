package servers_test

import (
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestClusterGoesByItsRoutesAlone(t *testing.T) {
	t.Parallel()
	links := map[[2]int]*link{}
	c := servers.NATSCluster(t, nodeArgument, servers.ClusterOptions{Route: func(from, to int, address string) (string, error) {
		links[[2]int{from, to}] = newLink(t, address)
		return links[[2]int{from, to}].listener.Addr().String(), nil
	}})
	if len(links) != 6 {
		t.Fatalf("%d links between three nodes, want 6", len(links))
	}
	js := clusterStreams(t, c)
	createStream(t, js)
	conn := servers.Connect(t, c.URLs()[0])
	if known := conn.Servers(); len(known) != 1 {
		t.Errorf("a client of one node knows of %v, and would go around a proxy of its own", known)
	}

	links[[2]int{0, 1}].cut(true)
	links[[2]int{1, 0}].cut(true)
	wantPeers(t, c.Node(0), "n3")
	// The third node tells the first of the second when that one comes back, and the first must not
	// go there by itself.
	if err := c.Node(1).Kill(); err != nil {
		t.Fatal(err)
	}
	wantPeers(t, c.Node(2), "n1")
	if err := c.Node(1).Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "the first node to try what it was told", func() bool {
		log, err := os.ReadFile(c.Node(0).Log())
		return err == nil && strings.Contains(string(log), "dial tcp 127.0.0.1:1: ")
	})
	wantPeers(t, c.Node(1), "n3")
	wantPeers(t, c.Node(0), "n3")

	links[[2]int{0, 1}].cut(false)
	links[[2]int{1, 0}].cut(false)
	awaitReady(t, c)
	wantPeers(t, c.Node(0), "n2", "n3")
}

func wantPeers(t *testing.T, n *servers.Node, want ...string) {
	t.Helper()
	servers.Eventually(t, "peers of "+n.Name()+": "+strings.Join(want, ", "), func() bool {
		peers, err := n.Peers(t.Context())
		return err == nil && slices.Equal(peers, want)
	})
}

// link passes connections on until it is cut.
type link struct {
	listener net.Listener

	mu     sync.Mutex
	isCut  bool
	passed []net.Conn
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener}
	var working sync.WaitGroup
	working.Go(func() { l.serve(to, &working) })
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut(true)
		working.Wait()
	})
	return l
}

func (l *link) serve(to string, working *sync.WaitGroup) {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", to)
		if err != nil || !l.add(near, far) {
			_ = near.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
			working.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			})
		}
	}
}

func (l *link) add(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isCut {
		_ = conns[1].Close()
		return false
	}
	l.passed = append(l.passed, conns...)
	return true
}

func (l *link) cut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = cut
	if !cut {
		return
	}
	for _, conn := range l.passed {
		_ = conn.Close()
	}
	l.passed = nil
}
