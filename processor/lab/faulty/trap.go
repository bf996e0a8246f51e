package faulty

import (
	"slices"
	"sync"
)

// windowMax is the number of recent bytes that a trap keeps.
const windowMax = 1 << 20

// Trap waits for bytes on the connections of a [Proxy] or [Dialer], and then acts. It springs
// once.
type Trap struct {
	// Direction is the direction of Match.
	Direction Direction
	Match     Match
	// Reply moves the trap: it springs when, after Match has passed, Reply passes the other way on
	// the same connection.
	Reply Match
	// Skip is the number of matches to let pass first.
	Skip int
	// Hold keeps the matching bytes, and those of the same read, until Action has returned.
	// Otherwise they are forwarded first.
	Hold bool
	// Drop discards these bytes and cuts the connection, before Action.
	Drop bool
	// Action is called when the trap springs; nil means none. It delays this connection only, may
	// call any method of Faults, and must not close the Proxy or Dialer.
	Action func()
}

// Armed is a trap that was set. Its methods may be called concurrently.
type Armed struct {
	trap   Trap
	faults *Faults
	fired  chan struct{}

	mu     sync.Mutex
	over   bool
	passed int
	seen   map[*link]*sight
}

// sight is the view of a trap on one connection since it was set.
type sight struct {
	window  []byte
	matched bool // and it waits for the reply
}

// Arm sets a trap. The trap sees bytes from now on.
func (f *Faults) Arm(t Trap) *Armed {
	a := &Armed{trap: t, faults: f, fired: make(chan struct{}), seen: map[*link]*sight{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = append(slices.Clip(f.armed), a)
	return a
}

// Fired is closed when the trap has sprung and its action has returned.
func (a *Armed) Fired() <-chan struct{} { return a.fired }

// Disarm removes the trap if it has not sprung.
func (a *Armed) Disarm() {
	a.mu.Lock()
	a.over, a.seen = true, nil
	a.mu.Unlock()
	a.faults.remove(a)
}

func (f *Faults) remove(a *Armed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = slices.DeleteFunc(slices.Clone(f.armed), func(other *Armed) bool { return other == a })
}

// sprung shows a chunk to all traps and returns those that it springs.
func (f *Faults) sprung(l *link, d Direction, data []byte) (sprung []*Armed) {
	f.mu.Lock()
	armed := f.armed
	f.mu.Unlock()
	for _, a := range armed {
		if a.springs(l, d, data) {
			f.remove(a)
			sprung = append(sprung, a)
		}
	}
	return sprung
}

func (a *Armed) springs(l *link, d Direction, data []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return false
	}
	s := a.seen[l]
	if s == nil {
		s = &sight{}
		a.seen[l] = s
	}
	switch {
	case !s.matched && d == a.trap.Direction && a.matches(s, data):
		if a.trap.Reply != nil {
			s.matched, s.window = true, nil
			return false
		}
	case s.matched && d == a.trap.Direction.opposite() && s.finds(a.trap.Reply, data):
	default:
		return false
	}
	a.over, a.seen = true, nil
	return true
}

// matches reports whether Match has passed often enough.
func (a *Armed) matches(s *sight, data []byte) bool {
	for s.finds(a.trap.Match, data) {
		if a.passed == a.trap.Skip {
			return true
		}
		a.passed++
		data = nil
	}
	return false
}

// finds looks for the next match. If there is one, it drops the bytes up to its end.
func (s *sight) finds(m Match, data []byte) bool {
	s.window = append(s.window, data...)
	s.window = s.window[max(0, len(s.window)-windowMax):]
	end := m(s.window)
	if end <= 0 {
		return false
	}
	s.window = s.window[end:]
	return true
}

func (a *Armed) act() {
	if a.trap.Action != nil {
		a.trap.Action()
	}
	close(a.fired)
}

func (a *Armed) forget(l *link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, l)
}
