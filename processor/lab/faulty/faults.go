package faulty

import (
	"sync"
	"time"
)

// Direction is the direction of bytes.
type Direction int

// The directions: from the client to the server, or back.
const (
	ToServer Direction = iota
	FromServer
)

func (d Direction) opposite() Direction { return 1 - d }

// Latency is the delay of bytes in each direction. The zero value is no delay.
type Latency struct{ ToServer, FromServer time.Duration }

// Faults apply to the connections of one [Proxy] or [Dialer]. All methods may be called
// concurrently, also by the action of a trap.
type Faults struct {
	mu      sync.Mutex
	links   map[*link]struct{}
	running sync.WaitGroup
	closed  bool
	refuse  bool
	stalled bool
	// flow is closed while bytes may pass.
	flow    chan struct{}
	latency Latency
	armed   []*Armed
}

func newFaults() *Faults {
	flow := make(chan struct{})
	close(flow)
	return &Faults{links: map[*link]struct{}{}, flow: flow}
}

// Cut resets every open connection at both ends. Bytes that were not yet forwarded are lost.
func (f *Faults) Cut() {
	f.mu.Lock()
	links := make([]*link, 0, len(f.links))
	for l := range f.links {
		links = append(links, l)
	}
	f.mu.Unlock()
	for _, l := range links {
		l.cut()
	}
}

// Refuse closes new connections at once while it is on, and cuts the open ones when it is turned
// on.
func (f *Faults) Refuse(on bool) {
	f.mu.Lock()
	f.refuse = on
	f.mu.Unlock()
	if on {
		f.Cut()
	}
}

// Stall is a partition while it is on: connections stay open and new ones hang, but no bytes pass
// in either direction, except a write that is under way. The bytes pass when it is turned off.
func (f *Faults) Stall(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case on == f.stalled:
	case on:
		f.flow = make(chan struct{})
	default:
		close(f.flow)
	}
	f.stalled = on
}

// Delay delays all bytes that arrive from now on. Order and throughput stay.
func (f *Faults) Delay(d Latency) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency = d
}

// Open returns the number of connections.
func (f *Faults) Open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.links)
}

func (f *Faults) flowing() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flow
}

func (f *Faults) delay(d Direction) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d == ToServer {
		return f.latency.ToServer
	}
	return f.latency.FromServer
}

// admit registers a new link, unless connections are refused.
func (f *Faults) admit(l *link) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse || f.closed {
		return false
	}
	f.links[l] = struct{}{}
	f.running.Add(1)
	return true
}

func (f *Faults) dismiss(l *link) {
	f.mu.Lock()
	delete(f.links, l)
	armed := f.armed
	f.mu.Unlock()
	for _, a := range armed {
		a.forget(l)
	}
	f.running.Done()
}

// close cuts all links, refuses new ones, and waits for the running goroutines.
func (f *Faults) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.Cut()
	f.running.Wait()
}
