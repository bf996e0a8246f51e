package outbox_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// wire is a network between a relay and the broker that can be cut at any byte.
type wire struct {
	listener net.Listener
	server   string

	mu      sync.Mutex
	broken  bool
	clients map[net.Conn]bool
	links   sync.WaitGroup
}

func newWire(t testing.TB, serverURL string) *wire {
	t.Helper()
	server, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, server: server.Host, clients: make(map[net.Conn]bool)}
	var accepting sync.WaitGroup
	accepting.Go(func() { w.accept(t) })
	t.Cleanup(func() {
		_ = listener.Close() // ends accept
		accepting.Wait()
		w.cut()
	})
	return w
}

func (w *wire) accept(t testing.TB) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		if w.broken {
			_ = client.Close()
		} else {
			w.clients[client] = true
			w.links.Go(func() { w.link(t, client) })
		}
		w.mu.Unlock()
	}
}

// link returns when the server has read all that the client sent before the wire was cut.
func (w *wire) link(t testing.TB, client net.Conn) {
	defer func() {
		_ = client.Close()
		w.mu.Lock()
		delete(w.clients, client)
		w.mu.Unlock()
	}()
	server, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(client, server)
	_ = client.Close()
	_, _ = io.Copy(io.Discard, server)
	sending.Wait()
}

// cut breaks all connections and lets none through until mend.
func (w *wire) cut() {
	w.mu.Lock()
	w.broken = true
	for client := range w.clients {
		_ = client.Close()
	}
	w.mu.Unlock()
	w.links.Wait()
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = false
}

// connectOver is connect over a wire.
func (b *bundle) connectOver(w *wire) jetstream.JetStream {
	b.t.Helper()
	nc, err := nats.Connect("nats://"+w.listener.Addr().String(), reconnecting()...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return js
}

// restartBroker restarts the server while the wire is cut, with what was sent over it half done:
// batches without their end, and acknowledgements that were not received. It waits for a batch that
// is being committed, though, because nats-server 2.15 leaves its goroutines behind when it is shut
// down right there.
func (b *bundle) restartBroker(w *wire) {
	b.t.Helper()
	w.cut()
	if _, err := b.js.Publish(b.t.Context(), markSubject, nil); err != nil {
		b.t.Fatal(err)
	}
	b.bus.Restart(b.t)
	w.mend()
}

// markSubject is for messages that show that the stream has dealt with all before them.
const markSubject = "payments.evt.mark"
