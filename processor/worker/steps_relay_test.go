package worker_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
)

// outboxHas reports whether messages wait in the outbox.
func (s *stepwise) outboxHas() bool {
	status, err := outbox.Inspect(s.t.Context(), s.pool)
	return err == nil && status.Waiting > 0
}

func relaySteps() []step {
	match := func(m faulty.Match) func(*passage) faulty.Trap {
		return func(*passage) faulty.Trap { return faulty.Trap{Match: m} }
	}
	return []step{
		{"read", onPG, match(faulty.StatementWith("FROM outbox w")), faulty.Anything(), false},
		{"publish", onBus, match(faulty.Publish("payments.evt.")), faulty.PubAck("PAYMENTS_EVT"), false},
		{"delete", onPG, match(faulty.StatementWith("DELETE FROM outbox")), faulty.Anything(), false},
	}
}

// TestEveryStepOfTheRelayMayFail holds that what is in the outbox is on the bus once and in order,
// wherever the relay is hit.
func TestEveryStepOfTheRelayMayFail(t *testing.T) {
	t.Parallel()
	rows(t, relaySteps(), func(s step) string { return s.name }, func(t *testing.T, at step) {
		s := setupSteps(t)
		s.scheduling = s.process().scheduler()
		var all []*passage
		for _, relay := range []struct{ after, kill, overtaken bool }{
			{false, false, false}, {true, false, false}, {false, true, false}, {true, true, false}, {false, false, true},
		} {
			before := len(s.processes)
			peaceful := s.process().relay() // for the resume, which goes through the outbox, too
			passages := s.prepare(flows())
			peaceful.kill()
			w := s.process().worker()
			for _, p := range passages[:len(passages)-1] {
				p.send()
				p.done()
			}
			s.settled()
			w.kill()
			s.eventually("something is to be published", s.outboxHas)
			s.hitRelay(at, relay.after, relay.kill, relay.overtaken)
			s.process().worker()
			passages[len(passages)-1].send()
			passages[len(passages)-1].done()
			s.eventually("everything is published", func() bool { return !s.outboxHas() })
			s.settled()
			s.killSince(before)
			all = append(all, passages...)
		}
		r := s.process().relay()
		s.allRight(all)
		r.kill()
	})
}

// hitRelay starts a relay that a fault hits at a step, and the process that goes on.
func (s *stepwise) hitRelay(at step, after, kill, overtaken bool) {
	s.t.Helper()
	r := s.process()
	trap := at.trap(nil)
	switch {
	case overtaken: // its locks go, and another has done its work before it goes on
		trap.Hold = true
		trap.Action = func() {
			r.pg.Cut()
			r.pg.Stall(true)
			s.process().relay()
			until(func() bool { return !s.outboxHas() })
			r.pg.Stall(false)
		}
	case after:
		trap.Drop, trap.Reply = true, at.done
	default:
		trap.Drop = true
	}
	if kill {
		trap.Action = r.kill
	}
	armed := at.on(r).Arm(trap)
	r.relay()
	(&passage{s: s, flow: flow{name: "the relay"}}).sprung(armed)
	if kill {
		s.process().relay()
	}
}

// TestEveryStepOfTheSchedulerMayFail holds that a timer leads to one answer wherever the scheduler
// is hit while it fires.
func TestEveryStepOfTheSchedulerMayFail(t *testing.T) {
	t.Parallel()
	s := setupSteps(t)
	s.process().relay()
	s.scheduling = s.process()
	resume := flows()[len(flows())-1:]
	fire := step{"fire", onPG, func(*passage) faulty.Trap {
		return faulty.Trap{Match: faulty.CommitWith("payments.cmd.acme.resume")}
	}, faulty.Committed(), true}
	var all []*passage
	for _, twice := range []bool{false, true} {
		for _, row := range []struct{ after, kill bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			p := s.prepare(resume)[0]
			p.unknown()
			before := len(s.processes)
			if twice {
				s.process().scheduler()
			}
			schedulers := s.process()
			trap := fire.trap(p)
			trap.Drop = true
			if row.after {
				trap.Reply = fire.done
			}
			if row.kill {
				trap.Action = schedulers.kill
			}
			armed := schedulers.pg.Arm(trap)
			schedulers.scheduler()
			if !twice { // with two, the other one may be faster
				p.sprung(armed)
			}
			if row.kill {
				s.process().scheduler()
			}
			s.process().worker()
			p.done()
			s.settled()
			s.killSince(before)
			all = append(all, p)
		}
	}
	s.allRight(all)
}
