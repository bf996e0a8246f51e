package rig

import (
	"context"
	"errors"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// relayFaults kill the relay that works, around its publishing, and let it stand still while another takes its place.
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

func killRelay(name, about string, where func(*Member) []place, when moment) Fault {
	return Fault{Name: name, Class: ClassRelay, About: about, Inject: func(ctx context.Context, l *Lab, s *Stages) (string, error) {
		return l.killAt(ctx, s, l.playing(roleRelay), where, when)
	}}
}

func pauseRelay(ctx context.Context, l *Lab, s *Stages) (string, error) {
	m, err := l.relayAtWork(ctx)
	if err != nil {
		return "", err
	}
	if err := m.Pause(); err != nil {
		return m.Name, err
	}
	s.strikes()
	m.links.postgres.Cut() // PostgreSQL ends the sessions, and with them the locks
	err = poll(ctx, "wait for another relay", func() bool {
		other, err := l.relayAtWork(ctx)
		return err == nil && other != m
	})
	retry.Sleep(ctx, 2*time.Second)
	s.heals()
	return m.Name, errors.Join(err, m.Resume())
}

func renewRelays(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	names := ""
	for _, m := range l.playing(roleRelay) {
		if err := errors.Join(m.Renew(), m.awaitReady(ctx)); err != nil {
			return m.Name, err
		}
		names += " " + m.Name
	}
	return names[1:], nil
}
