package faulty

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// chunkSize is how much is read at once, in bytes.
	chunkSize = 64 << 10
	// queueMax is how many chunks may be on their way in one direction. Then the sender has to wait, as for full
	// buffers of the kernel.
	queueMax = 1024
)

// link is one connection: the two ends, and what is between them.
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

// serve forwards both ways until both ends have said all or the link is cut.
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

// reset closes a connection so that the other end sees it broken, not ended.
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

// chunk is what was read at once; without bytes it is the end, a broken one if err is not io.EOF.
type chunk struct {
	data []byte
	err  error
	due  time.Time
}

// forward takes everything from one end to the other.
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

// pass brings a chunk to its end, past the traps, and reports whether the link goes on.
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
		l.cut() // before anybody hears of it
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

// finish says that nothing more comes.
func finish(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
		return
	}
	_ = conn.Close()
}
