package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// trapWait bounds how long a step of the pipeline may take to be seen on the wire; there is load all the while.
const trapWait = 30 * time.Second

// workerFaults kill a worker at each step of handling a command, seen on the wire, and trouble it otherwise.
func workerFaults() []Fault {
	return []Fault{
		killWorker("kill-after-receive", "a worker is killed when a command was delivered to it, before it has done anything",
			func(m *Member) []place { return m.atNATS(seen(faulty.FromServer, faulty.Delivery("payments.cmd."))) }, after),
		killWorker("kill-before-commit-1", "a worker is killed before the commit that marks an operation sent reaches PostgreSQL",
			func(m *Member) []place {
				return m.atPostgres(seen(faulty.ToServer, faulty.CommitWith(`"operation.sent"`)))
			}, before),
		killWorker("kill-after-commit-1", "a worker is killed when that commit has left it and no answer has come",
			func(m *Member) []place {
				return m.atPostgres(seen(faulty.ToServer, faulty.CommitWith(`"operation.sent"`)))
			}, after),
		killWorker("kill-at-gateway", "a worker is killed when the gateway has received its call",
			func(m *Member) []place {
				return m.atGateways(seen(faulty.ToServer, faulty.Request("POST /v1/operations")))
			}, after),
		killWorker("kill-at-answer", "a worker is killed when the gateway has answered, before it hears of it",
			func(m *Member) []place { return m.atGateways(seen(faulty.FromServer, faulty.Response())) }, before),
		killWorker("kill-before-commit-2", "a worker is killed before the commit of an outcome reaches PostgreSQL",
			func(m *Member) []place {
				return m.atPostgres(seen(faulty.ToServer, faulty.CommitWith(`"payment.captured"`)))
			}, before),
		killWorker("kill-after-commit-2", "a worker is killed when that commit has left it and no answer has come",
			func(m *Member) []place {
				return m.atPostgres(seen(faulty.ToServer, faulty.CommitWith(`"payment.captured"`)))
			}, after),
		killWorker("kill-before-ack", "a worker is killed before its acknowledgement of a command reaches NATS",
			func(m *Member) []place { return m.atNATS(seen(faulty.ToServer, faulty.Ack())) }, before),
		{
			Name: "pause-worker", Class: ClassWorker, About: "a worker stands still for longer than AckWait and then goes on: late answers, late acknowledgements",
			Inject: pauseWorker,
		},
		{Name: "renew-workers", Class: ClassWorker, About: "every worker is told to leave under load, one after the other, twice", Inject: renewWorkers},
		{Name: "pool-of-two", Class: ClassWorker, About: "a worker has two connections to PostgreSQL", Inject: poolOfTwo},
	}
}

// moment is when a trapped process is killed: before what it has sent reaches the other side, or after.
type moment bool

const (
	before moment = true
	after  moment = false
)

// place is where a trap is set.
type place struct {
	proxy *faulty.Proxy
	trap  faulty.Trap
}

// seen is a trap for what passes in a direction.
func seen(direction faulty.Direction, match faulty.Match) faulty.Trap {
	return faulty.Trap{Direction: direction, Match: match}
}

func (m *Member) atNATS(t faulty.Trap) []place { return onEach(m.links.nats, t) }
func (m *Member) atPostgres(t faulty.Trap) []place {
	return onEach([]*faulty.Proxy{m.links.postgres}, t)
}

func (m *Member) atGateways(t faulty.Trap) []place {
	return onEach(slices.Collect(maps.Values(m.links.gateways)), t)
}

func onEach(proxies []*faulty.Proxy, t faulty.Trap) []place {
	places := make([]place, 0, len(proxies))
	for _, proxy := range proxies {
		places = append(places, place{proxy, t})
	}
	return places
}

func killWorker(name, about string, where func(*Member) []place, when moment) Fault {
	return Fault{Name: name, Class: ClassWorker, About: about, Inject: func(ctx context.Context, l *Lab, s *Stages) (string, error) {
		m := l.anyWorker()
		return l.killAt(ctx, s, []*Member{m}, where, when)
	}}
}

// killAt sets the traps and waits until one of them has killed its member and the successor is there.
func (l *Lab) killAt(
	ctx context.Context, s *Stages, members []*Member, where func(*Member) []place, when moment,
) (string, error) {
	limit, cancel := context.WithTimeout(ctx, trapWait)
	defer cancel()
	type killed struct {
		m   *Member
		err error
	}
	sprung := make(chan killed, 1)
	for _, m := range members {
		for _, p := range where(m) {
			p.trap.Hold, p.trap.Drop = bool(when), bool(when)
			p.trap.Action = func() {
				select {
				case sprung <- killed{m, m.Kill()}:
				default: // another trap was first
				}
			}
			armed := p.proxy.Arm(p.trap)
			defer armed.Disarm()
		}
	}
	select {
	case k := <-sprung:
		s.strikes()
		s.heals() // another is on its way
		return k.m.Name, errors.Join(k.err, k.m.awaitReady(ctx))
	case <-limit.Done():
		return "", fmt.Errorf("the moment did not come within %s", trapWait)
	}
}

func pauseWorker(ctx context.Context, l *Lab, s *Stages) (string, error) {
	m := l.anyWorker()
	if err := m.Pause(); err != nil {
		return m.Name, err
	}
	standstill := AckWait + 2*time.Second
	s.last(ctx, standstill)
	return fmt.Sprintf("%s for %s", m.Name, standstill), m.Resume()
}

func renewWorkers(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	left := 0
	for range 2 {
		for _, m := range l.members {
			if !m.plays(roleWorker) {
				continue
			}
			if err := errors.Join(m.Renew(), m.awaitReady(ctx)); err != nil {
				return m.Name, err
			}
			left++
		}
	}
	return fmt.Sprintf("%d times", left), nil
}

func poolOfTwo(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	m := l.anyWorker()
	most := m.connsMax
	m.connsMax = 2
	err := errors.Join(m.Renew(), m.awaitReady(ctx))
	retry.Sleep(ctx, 1500*time.Millisecond)
	m.connsMax = most
	return m.Name, errors.Join(err, m.Renew(), m.awaitReady(ctx))
}
