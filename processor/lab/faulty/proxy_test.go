package faulty_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestAProxyForwardsEverythingInOrder(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, echo))
	p.Delay(faulty.Latency{ToServer: time.Millisecond, FromServer: 2 * time.Millisecond})
	c := dial(t, p.Addr())
	text := strings.Repeat("in order, all of it\n", 100_000)
	go func() {
		_, _ = io.WriteString(c.Conn, text)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c.lines)
	if err != nil || string(got) != text {
		t.Errorf("%d bytes came back of %d: %v", len(got), len(text), err)
	}
	servers.Eventually(t, "the connection is over", func() bool { return p.Open() == 0 })
}

func TestCutResets(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	p := proxy(t, server(t, func(conn net.Conn) {
		_, err := io.Copy(conn, conn)
		ended <- err
	}))
	c := dial(t, p.Addr())
	c.say("before\n")
	c.hear("before\n")
	p.Cut()
	for end, err := range map[string]error{"client": c.broken(), "server": <-ended} {
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the %s saw %v, want a reset", end, err)
		}
	}
	again := dial(t, p.Addr())
	again.say("after\n")
	again.hear("after\n")
}

func TestRefuseTurnsAwayAndCuts(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, echo))
	c := dial(t, p.Addr())
	c.say("before\n")
	c.hear("before\n")
	p.Refuse(true)
	if err := c.broken(); err == nil {
		t.Error("an open connection ended in order")
	}
	if served(t, p.Addr()) {
		t.Error("a new connection was served")
	}
	p.Refuse(false)
	again := dial(t, p.Addr())
	again.say("after\n")
	again.hear("after\n")
}

func TestStallHoldsBothWaysAndLetsGo(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, greet("hello\n")))
	c := dial(t, p.Addr())
	c.hear("hello\n")
	p.Stall(true)
	c.say("held\n")
	late := dial(t, p.Addr())
	for _, waiting := range []*client{c, late} {
		if err := waiting.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if line, err := waiting.lines.ReadString('\n'); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
			t.Errorf("heard %q, %v during a partition", line, err)
		}
		if err := waiting.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	p.Stall(false)
	c.hear("held\n")
	late.hear("hello\n")
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestWhatHangsCanBeCut(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, greet("hello\n")))
	delayed := dial(t, p.Addr())
	delayed.hear("hello\n")
	p.Delay(faulty.Latency{ToServer: time.Hour})
	delayed.say("never\n")
	p.Stall(true)
	stalled := dial(t, p.Addr())
	servers.Eventually(t, "both are there", func() bool { return p.Open() == 2 })
	p.Cut()
	for _, c := range []*client{delayed, stalled} {
		if n, err := io.Copy(io.Discard, c.lines); n > 0 || err == nil {
			t.Errorf("heard %d bytes, and then %v, want a broken connection", n, err)
		}
	}
}

func TestAnotherTarget(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, greet("one\n")))
	c := dial(t, p.Addr())
	c.hear("one\n")
	p.SetTarget(server(t, greet("two\n")))
	dial(t, p.Addr()).hear("two\n")
	c.say("still one\n")
	c.hear("still one\n")
	p.SetTarget("127.0.0.1:1") // a port without a listener
	if served(t, p.Addr()) {
		t.Error("a connection without a server ended in order")
	}
}

func TestAnEndIsPassedOn(t *testing.T) {
	t.Parallel()
	p := proxy(t, server(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "bye\n") }))
	c := dial(t, p.Addr())
	c.hear("bye\n")
	if err := c.broken(); err != nil {
		t.Errorf("the end of the server was seen as %v", err)
	}
}

func TestAProxyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p, err := faulty.Listen(ctx, server(t, greet("hello\n")))
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, p.Addr())
	c.hear("hello\n")
	cancel()
	if err := c.broken(); err == nil {
		t.Error("the connection ended in order")
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
}

func TestADialerRefusesAndHangs(t *testing.T) {
	t.Parallel()
	d, addr := dialer(t), server(t, greet("hello\n"))
	d.Stall(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.DialContext(ctx, "tcp", addr); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial through a partition: %v", err)
	}
	d.Stall(false)
	d.Refuse(true)
	if _, err := d.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial while refused: %v", err)
	}
	d.Refuse(false)
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := io.ReadAll(conn); err == nil && d.Open() != 0 {
		t.Error("a connection outlived its dialer")
	}
	if _, err := d.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Close: %v", err)
	}
}
