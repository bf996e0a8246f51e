package worker_test

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

// step is a step of handling a command, by what passes over the wire at it.
type step struct {
	name string
	on   func(*process) *faulty.Dialer
	trap func(*passage) faulty.Trap
	// done is what passes the other way when the step is done; nil if nothing does.
	done faulty.Match
	// waits says that the second one at the step waits for the first, and then finds that it is too
	// late for it.
	waits bool
}

// flows are those that have the step.
func (s step) flows() []flow {
	return slices.DeleteFunc(flows(), func(f flow) bool {
		// A create is decided without a look into the store.
		return s.name == "commit 1" && f.begins == "" || s.name == "load" && f.delivered == messages.CommandCreate
	})
}

func onPG(p *process) *faulty.Dialer   { return p.pg }
func onBus(p *process) *faulty.Dialer  { return p.bus }
func onHTTP(p *process) *faulty.Dialer { return p.http }

func workerSteps(t *testing.T) []step {
	t.Helper()
	load, err := os.ReadFile("../store/queries/load.sql")
	if err != nil {
		t.Fatal(err)
	}
	return []step{
		{"receive", onBus, func(p *passage) faulty.Trap {
			return faulty.Trap{
				Direction: faulty.FromServer,
				Match:     faulty.Delivery("payments.cmd.acme." + string(p.delivered) + "." + p.id.String()),
			}
		}, nil, false},
		{"load", onPG, func(*passage) faulty.Trap {
			return faulty.Trap{Match: faulty.Statement(string(load))}
		}, faulty.Anything(), false},
		{"commit 1", onPG, func(p *passage) faulty.Trap {
			return faulty.Trap{Match: faulty.CommitWith(string(p.begins))}
		}, faulty.Committed(), true},
		{"call", onHTTP, func(p *passage) faulty.Trap {
			return faulty.Trap{Match: faulty.Request("POST /v1/operations"), Skip: p.skip}
		}, faulty.Response(), false},
		{"commit 2", onPG, func(p *passage) faulty.Trap {
			return faulty.Trap{Match: faulty.CommitWith(string(p.ends))}
		}, faulty.Committed(), true},
		{"acknowledge", onBus, func(p *passage) faulty.Trap {
			return faulty.Trap{Match: faulty.Ack(), Skip: p.skip}
		}, nil, false},
	}
}

// trouble is a fault that hits a process at a step. It returns after the fault, with the process
// that goes on running.
type trouble struct {
	name    string
	befalls func(s step, p *passage)
}

func troubles() []trouble {
	return []trouble{
		{"fails before", func(s step, p *passage) { s.cutAt(p, false, false) }},
		{"fails after", func(s step, p *passage) { s.cutAt(p, true, false) }},
		{"is killed before", func(s step, p *passage) { s.cutAt(p, false, true) }},
		{"is killed after", func(s step, p *passage) { s.cutAt(p, true, true) }},
		{"is overtaken", step.overtaken},
		{"runs twice at once", step.twice},
	}
}

// cutAt breaks the connection at the step, before or after it was done, and perhaps the whole
// process with it.
func (s step) cutAt(p *passage, after, kill bool) {
	w := p.s.process()
	trap := s.trap(p)
	switch {
	case !after:
		trap.Drop = true
	case s.done != nil:
		trap.Drop, trap.Reply = true, s.done
	default: // nothing comes back: it is let through
		trap.Action = s.on(w).Cut
	}
	if kill {
		trap.Action = w.kill
	}
	armed := s.on(w).Arm(trap)
	w.worker()
	p.send()
	p.sprung(armed)
	if kill {
		p.s.process().worker()
	}
}

// overtaken freezes the process at the step until another has handled the command, or can't go on
// without it. Then it goes on where it was.
func (s step) overtaken(p *passage) {
	w := p.s.process()
	trap := s.trap(p)
	trap.Hold = true
	trap.Action = func() {
		w.freeze(true)
		p.s.process().worker()
		until(func() bool { return p.s.isSettled() || p.s.isBlocked() })
		w.freeze(false)
	}
	armed := s.on(w).Arm(trap)
	w.worker()
	p.send()
	p.sprung(armed)
}

// twice has two processes at the step at the same time, each with a delivery of its own, unless one
// waits for the other.
func (s step) twice(p *passage) {
	if p.delivered == messages.CommandResume {
		p.unknown()
		defer func() { p.s.scheduling = p.s.process().scheduler() }()
	}
	p.s.answerWait = faultWait // the first waits for the second, however busy the machine is
	defer func() { p.s.answerWait = time.Second }()
	var arrived atomic.Int64
	var armed []*faulty.Armed
	for range 2 {
		w := p.s.process()
		trap := s.trap(p)
		trap.Hold = true
		trap.Action = func() {
			arrived.Add(1)
			until(func() bool { return arrived.Load() == 2 || s.waits && p.s.isBlocked() })
		}
		armed = append(armed, s.on(w).Arm(trap))
		w.worker()
	}
	p.sendTwice()
	if s.waits {
		select {
		case <-armed[0].Fired():
		case <-armed[1].Fired():
		case <-time.After(faultWait):
			p.s.t.Fatalf("the fault did not happen to %s", p.name)
		}
		return
	}
	for _, a := range armed {
		p.sprung(a)
	}
}

// faultWait bounds the wait for a fault.
const faultWait = 2 * time.Minute

// rowsAtOnce is how many rows of a table run at the same time: they wait more than they work.
const rowsAtOnce = 12

// rows runs the rows of a table, more of them at once than the machine has processors.
func rows[T any](t *testing.T, table []T, name func(T) string, test func(*testing.T, T)) {
	t.Helper()
	slots := make(chan struct{}, rowsAtOnce)
	var running sync.WaitGroup
	for _, row := range table {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			t.Run(name(row), func(t *testing.T) { test(t, row) })
		})
	}
	running.Wait()
}

// TestEveryStepOfACommandMayFail takes the worker through every step of each kind of command, with
// every trouble at each.
func TestEveryStepOfACommandMayFail(t *testing.T) {
	t.Parallel()
	type row struct {
		step
		trouble
	}
	var table []row
	for _, s := range workerSteps(t) {
		for _, trouble := range troubles() {
			if s.name != "receive" || trouble.name != "fails after" && trouble.name != "is killed after" { // which is before "load"
				table = append(table, row{s, trouble})
			}
		}
	}
	rows(t, table, func(r row) string { return r.step.name + " " + r.trouble.name }, func(t *testing.T, r row) {
		s := setupSteps(t)
		s.process().relay()
		s.scheduling = s.process().scheduler()
		passages := s.prepare(r.flows())
		for _, p := range passages {
			before := len(s.processes)
			r.befalls(r.step, p)
			p.done()
			s.settled()
			s.killSince(before)
		}
		s.process().worker() // for later work, such as a timer, after every worker was killed
		s.allRight(passages)
	})
}
