package faulty

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// chunkSize is the limit of one read, in bytes.
	chunkSize = 64 << 10
	// queueMax is the limit of chunks under way in one direction. Then the sender waits, as for
	// full buffers of the kernel.
	queueMax = 1024
)

// link is one connection: its two ends and the bytes between them.
type link struct {
	faults *Faults
	client net.Conn
	// server is nil until it is dialled.
	server net.Conn
	mu     sync.Mutex
	done   chan struct{} // closed by cut
	once   sync.Once
}

func newLink(f *Faults, client net.Conn) *link {
	return &link{faults: f, client: client, done: make(chan struct{})}
}

// serve forwards both ways until both ends have closed or the link is cut.
func (l *link) serve(server net.Conn) {
	l.mu.Lock()
	l.server = server
	l.mu.Unlock()
	select {
	case <-l.done: // before it had a server
		reset(server)
		return
	default:
	}
	var both sync.WaitGroup
	both.Go(func() { l.forward(ToServer, l.client, server) })
	both.Go(func() { l.forward(FromServer, server, l.client) })
	both.Wait()
	_, _ = l.client.Close(), server.Close()
}

// cut resets both ends. It does not wait.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.done)
		l.mu.Lock()
		defer l.mu.Unlock()
		reset(l.client)
		if l.server != nil {
			reset(l.server)
		}
	})
}

// reset closes a connection so that the other end sees a reset, not an end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// passable waits while there is a partition, and reports whether the link still lives.
func (l *link) passable() bool {
	select {
	case <-l.faults.flowing():
	case <-l.done:
	}
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// chunk is the result of one read. Without bytes it is the end, and a broken one if err is not
// io.EOF.
type chunk struct {
	data []byte
	err  error
	due  time.Time
}

// forward copies all bytes from one end to the other.
func (l *link) forward(d Direction, from, to net.Conn) {
	queue := make(chan chunk, queueMax)
	var reading sync.WaitGroup
	reading.Go(func() { l.read(d, from, queue) })
	l.write(d, to, queue)
	reading.Wait()
}

func (l *link) read(d Direction, from net.Conn, queue chan<- chunk) {
	defer close(queue)
	buffer := make([]byte, chunkSize)
	for {
		n, err := from.Read(buffer)
		c := chunk{data: append([]byte(nil), buffer[:n]...), err: err, due: time.Now().Add(l.faults.delay(d))}
		select {
		case queue <- c:
		case <-l.done:
			return
		}
		if err != nil {
			return
		}
	}
}

func (l *link) write(d Direction, to net.Conn, queue <-chan chunk) {
	for c := range queue {
		if !l.wait(c.due) || !l.passable() {
			return
		}
		if len(c.data) > 0 && !l.pass(d, to, c.data) {
			l.cut()
			return
		}
		switch {
		case c.err == nil:
		case errors.Is(c.err, io.EOF):
			finish(to)
		default:
			l.cut()
		}
	}
}

// wait reports whether the link still lives when a chunk is due.
func (l *link) wait(due time.Time) bool {
	rest := time.Until(due)
	if rest <= 0 {
		return true
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

// pass shows a chunk to the traps, sends it, and reports whether the link continues.
func (l *link) pass(d Direction, to net.Conn, data []byte) bool {
	sprung := l.faults.sprung(l, d, data)
	held, dropped := false, false
	for _, a := range sprung {
		held, dropped = held || a.trap.Hold, dropped || a.trap.Drop
	}
	if !held && !dropped && !send(to, data) {
		l.cut()
	}
	if dropped {
		l.cut() // before the action runs
	}
	for _, a := range sprung {
		a.act()
	}
	return !dropped && (!held || send(to, data))
}

func send(to net.Conn, data []byte) bool {
	_, err := to.Write(data)
	return err == nil
}

// finish closes one direction of a connection.
func finish(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
		return
	}
	_ = conn.Close()
}
