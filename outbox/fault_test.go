package outbox_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestBrokerRestartInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := newWire(t, b.bus.URL())
	cfg := quick()
	cfg.BatchMax = 50
	b.append(events(100, 20)...)
	relay := b.relayOn(b.pool, b.connectOver(w), cfg)
	servers.Eventually(t, "some of the rows are published", func() bool { return relay.Stats().Published > 100 })
	b.restartBroker(w)
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 100, 20)
}

func TestConnectionLostInTheMiddleOfBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := newWire(t, b.bus.URL())
	cfg := quick()
	cfg.BatchMax = 50
	relay := b.relayOn(b.pool, b.connectOver(w), cfg)
	for n := 1; n <= 20; n++ {
		before := relay.Stats()
		b.append(someEvents(100, n)...)
		servers.Eventually(t, "more is published", func() bool { return relay.Stats() != before })
		w.cut()
		w.mend()
	}
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 100, 20)
}

func TestBrokerAndSchemaMayComeLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`ALTER TABLE outbox RENAME TO elsewhere`)
	b.bus.Down()
	relay := b.relay(quick())
	b.exec(`ALTER TABLE elsewhere RENAME TO outbox`)
	relay.owning(t, outbox.Partitions)
	b.append(events(5, 5)...)
	if err := b.bus.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 5, 5)
	if n := relay.Stats().Parked; n != 0 {
		t.Errorf("%d rows were parked", n)
	}
}

// Three relays, writers with several versions of a key in a transaction, half of which are offered
// to the relays, and all the while sessions of PostgreSQL are killed, relays come and go,
// connections break and the broker restarts: every message is in the stream once and in order.
func TestNothingIsLostDoubledOrReorderedUnderFaults(t *testing.T) {
	t.Parallel()
	const writers, keys, versions = 3, 8, 60
	b := setup(t)
	w := newWire(t, b.bus.URL())
	cfg := quick()
	cfg.BatchMax = 20
	relays := make([]*running, 3)
	var offerTo [3]atomic.Pointer[outbox.Relay]
	start := func(i int) {
		pool := b.newPool("relay")
		relays[i] = b.relayOn(pool, b.connectOver(w), cfg)
		offerTo[i].Store(relays[i].Relay)
	}
	for i := range relays {
		start(i)
	}
	ctx, written := context.WithCancel(t.Context())
	defer written()
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			b.write(w*keys, keys, versions, func(appended *outbox.Appended) {
				for i := range offerTo {
					offerTo[i].Load().Offer(appended)
				}
			})
		})
	}
	go func() { writing.Wait(); written() }()

	for fault := 0; ctx.Err() == nil; fault++ {
		switch fault % 5 {
		case 0, 3:
			b.killRelaySessions()
		case 1:
			relays[fault%3].stop()
			start(fault % 3)
		case 2:
			w.cut()
			w.mend()
		case 4:
			b.restartBroker(w)
		}
		before := published(relays)
		servers.Eventually(t, "something is published after the fault", func() bool {
			return published(relays) > before || ctx.Err() != nil
		})
	}
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), writers*keys, versions)
}

// write appends versions 1 to n of some keys, two versions of a key in each transaction, and offers
// those of every key for a while, and then not for a while.
func (b *bundle) write(from, keys, n int, offer func(*outbox.Appended)) {
	for version := 1; version <= n; version += 2 {
		for key := from; key < from+keys; key++ {
			appended, err := b.tryAppendStretches(stretch(keyName(key), version-1, version+1))
			if err != nil {
				b.t.Error(err)
				return
			}
			if (version/10+key)%2 == 0 {
				offer(appended)
			}
		}
	}
}

// killRelaySessions ends the sessions of relays at any moment: reading, deleting, or holding locks.
func (b *bundle) killRelaySessions() {
	b.t.Helper()
	b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'relay'`)
}

func published(relays []*running) int64 {
	var n int64
	for _, r := range relays {
		n += r.Stats().Published
	}
	return n
}
