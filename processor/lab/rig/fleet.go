package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// crew is who serves: several of each, as in production.
func (l *Lab) crew() []*Member {
	worker, keeper := []string{roleWorker}, []string{roleRelay, roleScheduler}
	crew := []*Member{
		{Name: "worker-1", roles: worker},
		{Name: "worker-2", roles: worker},
		{Name: "worker-3", roles: worker},
		{Name: "relay-1", roles: keeper},
		{Name: "relay-2", roles: keeper},
		{Name: "webhook", roles: []string{roleWebhook}},
	}
	if l.options.Small {
		crew = slices.Delete(crew, 2, 3)
	}
	return crew
}

func (l *Lab) startMembers(ctx context.Context) error {
	var err error
	if l.producers, err = l.link(ctx); err != nil {
		return err
	}
	for _, m := range l.crew() {
		m.lab, m.slotsMax, m.connsMax = l, 64, 8
		if m.links, err = l.link(ctx); err != nil {
			return err
		}
		l.members = append(l.members, m)
	}
	if err := l.startAll(ctx); err != nil {
		return err
	}
	l.options.Step("%d processes of tender serve", len(l.members))
	return nil
}

func (l *Lab) startAll(ctx context.Context) error {
	for _, m := range l.members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	for _, m := range l.members {
		if err := m.awaitReady(ctx); err != nil {
			return err
		}
	}
	return l.startDrifter(ctx)
}

// leaveAll lets every process leave, and the one with the clock of its own.
func (l *Lab) leaveAll() error {
	errs := []error{l.drifter.leave()}
	l.drifter = nil
	for _, m := range l.members {
		errs = append(errs, m.Leave())
	}
	return errors.Join(errs...)
}

// playing are the members with a role.
func (l *Lab) playing(role string) []*Member {
	var playing []*Member
	for _, m := range l.members {
		if m.plays(role) {
			playing = append(playing, m)
		}
	}
	return playing
}

func (l *Lab) anyWorker() *Member {
	workers := l.playing(roleWorker)
	return workers[l.random.IntN(len(workers))]
}

func (l *Lab) anyGateway() string {
	names := l.gatewayNames()
	return names[l.random.IntN(len(names))]
}

// ways are those of every process.
func (l *Lab) ways() []*links {
	ways := []*links{l.producers}
	if l.drifter != nil {
		ways = append(ways, l.drifter.links)
	}
	for _, m := range l.members {
		ways = append(ways, m.links)
	}
	return ways
}

// relayAtWork is the member that owns the outbox. Its name is that of its sessions.
func (l *Lab) relayAtWork(ctx context.Context) (*Member, error) {
	var name string
	err := l.asOwner(ctx, func(s *session) error {
		return s.conn.QueryRow(ctx, `
			SELECT a.application_name FROM pg_locks k JOIN pg_stat_activity a ON a.pid = k.pid
			WHERE k.locktype = 'advisory' AND k.granted AND k.classid = 'outbox'::regclass::oid
			ORDER BY k.objid LIMIT 1`).Scan(&name)
	})
	if err != nil {
		return nil, fmt.Errorf("find the relay at work: %w", err)
	}
	for _, m := range l.members {
		if m.Name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("the relay at work is %q, who is none of the members", name)
}

// moveTo makes another server the one that everybody reaches.
func (l *Lab) moveTo(successor *servers.Postgres) {
	l.retired = append(l.retired, l.postgres)
	l.postgres, l.smallDisk = successor, false
	for _, w := range l.ways() {
		w.postgres.SetTarget(l.postgresAddr())
		w.postgres.Cut()
	}
}

func (l *Lab) postgresAddr() string { return hostOf(l.PostgresURL()) }

func (l *Lab) natsAddrs() []string {
	var addresses []string
	for address := range strings.SplitSeq(l.NATSURL(), ",") {
		addresses = append(addresses, hostOf(address))
	}
	return addresses
}

// gatewayAddrs are the simulators' by their names.
func (l *Lab) gatewayAddrs() map[string]string {
	addresses := map[string]string{}
	if l.options.Given != nil {
		for name, address := range l.options.Given.Gateways {
			addresses[name] = hostOf(address)
		}
	}
	for _, s := range l.simulators {
		addresses[s.name] = s.address
	}
	return addresses
}

func (l *Lab) gatewayNames() []string { return slices.Sorted(maps.Keys(l.gatewayAddrs())) }

func join(urls []string) string { return strings.Join(urls, ",") }

// Close ends every process and removes what is no evidence.
func (l *Lab) Close() error {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	errs := []error{l.drifter.leave()}
	for _, m := range l.members {
		errs = append(errs, m.Leave())
	}
	for _, s := range l.simulators {
		errs = append(errs, s.kill())
	}
	if l.nc != nil {
		l.nc.Close()
	}
	for _, server := range append(l.retired, l.postgres) {
		if server != nil {
			errs = append(errs, server.Stop())
		}
	}
	if l.cluster != nil {
		errs = append(errs, l.cluster.Stop())
	}
	for _, m := range l.members {
		errs = append(errs, m.links.close())
	}
	if l.producers != nil {
		errs = append(errs, l.producers.close())
	}
	for _, r := range l.routes {
		errs = append(errs, r.proxy.Close())
	}
	return errors.Join(errs...)
}
