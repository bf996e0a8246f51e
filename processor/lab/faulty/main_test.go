package faulty_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// server runs serve for each connection, and returns its address.
func server(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// greet says a word, then echoes.
func greet(word string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = io.WriteString(conn, word)
		echo(conn)
	}
}

func proxy(t *testing.T, target string) *faulty.Proxy {
	t.Helper()
	p, err := faulty.Listen(context.WithoutCancel(t.Context()), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dialer(t *testing.T) *faulty.Dialer {
	t.Helper()
	d := faulty.NewDialer()
	t.Cleanup(d.Close)
	return d
}

// client is a connection that a test speaks on.
type client struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{Conn: conn, t: t, lines: bufio.NewReader(conn)}
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.lines, got); err != nil || string(got) != want {
		c.t.Fatalf("heard %q (%v), want %q", got, err, want)
	}
}

// broken waits for the end of the connection and returns its error.
func (c *client) broken() error {
	_, err := io.Copy(io.Discard, c.lines)
	return err
}

// served reports whether a new connection lasts until its server ends it.
func served(t *testing.T, addr string) bool {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return false // reset before it was ready
	}
	defer func() { _ = conn.Close() }()
	_, err = io.Copy(io.Discard, conn)
	return err == nil
}

func fired(a *faulty.Armed) bool {
	select {
	case <-a.Fired():
		return true
	default:
		return false
	}
}
