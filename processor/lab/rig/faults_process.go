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

// trapWait bounds the wait for a step of the pipeline to pass on the wire, under load.
const trapWait = time.Minute

// workerFaults kill a worker at each step of a command, as seen on the wire, and disturb it in
// other ways.
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
		{
			Name: "renew-only-worker", Class: ClassWorker, Alone: true,
			About: "one worker is left, and is told to leave under load and replaced, three times: the only one at that moment", Inject: renewOnlyWorker,
		},
		{Name: "pool-of-two", Class: ClassWorker, About: "a worker has two connections to PostgreSQL", Inject: poolOfTwo},
	}
}

// relayFaults kill the relay at work around its publishing, and pause it while another takes its
// place.
func relayFaults() []Fault {
	return []Fault{
		killRelay("kill-relay-before-publish", "the relay is killed before what it publishes reaches NATS",
			func(m *Member) []place { return m.atNATS(seen(faulty.ToServer, faulty.Publish("payments.evt."))) }, before),
		killRelay("kill-relay-after-publish", "the relay is killed when NATS has stored a batch, before it hears of it",
			func(m *Member) []place { return m.atNATS(seen(faulty.FromServer, faulty.PubAck("PAYMENTS_EVT"))) }, before),
		killRelay("kill-relay-before-delete", "the relay is killed when it has heard of it, before the rows are deleted",
			func(m *Member) []place { return m.atNATS(seen(faulty.FromServer, faulty.PubAck("PAYMENTS_EVT"))) }, after),
		{
			Name: "pause-relay", Class: ClassRelay, About: "the relay stands still while its sessions are ended and another takes its partitions, and then goes on",
			Inject: pauseRelay,
		},
		{Name: "renew-relays", Class: ClassRelay, About: "every relay and scheduler is told to leave under load", Inject: renewRelays},
	}
}

func killWorker(name, about string, where func(*Member) []place, when moment) Fault {
	return Fault{Name: name, Class: ClassWorker, About: about, Inject: func(ctx context.Context, r *Rig, s *Stages) (string, error) {
		m := r.anyWorker()
		return killAt(ctx, s, []*Member{m}, where, when)
	}}
}

func killRelay(name, about string, where func(*Member) []place, when moment) Fault {
	return Fault{Name: name, Class: ClassRelay, About: about, Inject: func(ctx context.Context, r *Rig, s *Stages) (string, error) {
		return killAt(ctx, s, r.playing(roleRelay), where, when)
	}}
}

// moment tells whether a trapped process is killed before its bytes reach the other side, or
// after.
type moment bool

const (
	before moment = true
	after  moment = false
)

// place is a proxy with a trap.
type place struct {
	proxy *faulty.Proxy
	trap  faulty.Trap
}

// seen returns a trap for matching bytes in one direction.
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

// killAt sets the traps, waits until one of them has killed its member, and then until the
// successor is ready.
func killAt(ctx context.Context, s *Stages, members []*Member, where func(*Member) []place, when moment,
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
		s.heals() // its successor is starting
		return k.m.Name, errors.Join(k.err, k.m.awaitReady(ctx))
	case <-limit.Done():
		return "", fmt.Errorf("the moment did not come within %s", trapWait)
	}
}

func pauseWorker(ctx context.Context, r *Rig, s *Stages) (string, error) {
	m := r.anyWorker()
	if err := m.Pause(); err != nil {
		return m.Name, err
	}
	standstill := AckWait + 2*time.Second
	s.last(ctx, standstill)
	return fmt.Sprintf("%s for %s", m.Name, standstill), m.Resume()
}

func renewWorkers(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	left := 0
	for range 2 {
		for _, m := range r.members {
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

// renewOnlyWorker is the rolling restart of a deployment with one process: whenever it leaves, no
// other takes the commands that come.
func renewOnlyWorker(ctx context.Context, r *Rig, s *Stages) (string, error) {
	errs := []error{r.drifter.leave()}
	r.drifter = nil
	workers := r.playing(roleWorker)
	only := workers[0]
	for _, m := range workers[1:] {
		errs = append(errs, m.Leave())
	}
	const times = 3
	s.strikes()
	for range times {
		errs = append(errs, only.Renew(), only.awaitReady(ctx))
		retry.Sleep(ctx, 500*time.Millisecond) // it takes commands again
	}
	s.heals()
	for _, m := range workers[1:] {
		errs = append(errs, m.Start(), m.awaitReady(ctx))
	}
	return fmt.Sprintf("%s, %d times", only.Name, times), errors.Join(append(errs, startDrifter(ctx, r))...)
}

func poolOfTwo(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	m := r.anyWorker()
	most := m.connsMax
	m.connsMax = 2
	err := errors.Join(m.Renew(), m.awaitReady(ctx))
	retry.Sleep(ctx, 1500*time.Millisecond)
	m.connsMax = most
	return m.Name, errors.Join(err, m.Renew(), m.awaitReady(ctx))
}

func pauseRelay(ctx context.Context, r *Rig, s *Stages) (string, error) {
	m, err := relayAtWork(ctx, r)
	if err != nil {
		return "", err
	}
	if err := m.Pause(); err != nil {
		return m.Name, err
	}
	s.strikes()
	m.links.postgres.Cut() // PostgreSQL ends the sessions and releases their locks
	err = poll(ctx, "wait for another relay", func() bool {
		other, err := relayAtWork(ctx, r)
		return err == nil && other != m
	})
	retry.Sleep(ctx, 2*time.Second)
	s.heals()
	return m.Name, errors.Join(err, m.Resume())
}

func renewRelays(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	names := ""
	for _, m := range r.playing(roleRelay) {
		if err := errors.Join(m.Renew(), m.awaitReady(ctx)); err != nil {
			return m.Name, err
		}
		names += " " + m.Name
	}
	return names[1:], nil
}

func clockFaults() []Fault {
	return []Fault{{
		Name: "clock-jumps", Class: ClassClock,
		About:  "the clock of one worker and scheduler jumps ahead by a day, back by an hour, and to where it should be",
		Inject: clockJumps,
	}}
}

func clockJumps(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	if r.drifter == nil {
		return "", errors.New("no process with a clock of its own was started")
	}
	// The last jump is further than any timer of the rig, and near enough for delayed work to come
	// due within the run.
	for _, jump := range []time.Duration{26 * time.Hour, -time.Hour, 40 * time.Second, 0} {
		r.drifter.jump(jump)
		retry.Sleep(ctx, time.Second)
	}
	return "ahead by 26h, back by 1h, ahead by 40s, right again", nil
}
