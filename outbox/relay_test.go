package outbox_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestRelayPublishesWhatWasAppended(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relay(quick())
	m := event("pay-1", 1)
	b.append(m)
	b.drained()
	msgs := b.messages("PAYMENTS")
	if len(msgs) != 1 {
		t.Fatalf("%d messages", len(msgs))
	}
	got := msgs[0]
	if got.Subject() != m.Subject || string(got.Data()) != string(m.Payload) {
		t.Errorf("published %s %s", got.Subject(), got.Data())
	}
	for name, want := range map[string]string{
		"Nats-Msg-Id": "pay-1:1", "ce-type": "payment.captured", "ce-source": "tender",
	} {
		if got := got.Headers().Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

func TestRelayKeepsTheOrderOfEachKey(t *testing.T) {
	t.Parallel()
	const writers, keys, versions = 4, 10, 25
	b := setup(t)
	b.relay(quick())
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for version := 1; version <= versions; version++ {
				for key := range keys {
					m := event(fmt.Sprintf("pay-%d-%d", w, key), version)
					if err := outbox.Append(t.Context(), b.pool, m); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writing.Wait()
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), writers*keys, versions)
}

func TestRelayTakesABacklogInAtomicBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(events(500, 10)...)
	cfg := quick()
	cfg.BatchMax = 1000
	relay := b.relay(cfg)
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 500, 10)
	stats := relay.Stats()
	if stats.Published != 5000 || stats.Singles > 50 || stats.Batches == 0 || stats.Batches > 100 {
		t.Errorf("not in batches: %+v", stats)
	}
}

// A sequence hands numbers out when rows are written, not when they are committed.
func TestRowsThatCommitLateAreNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := b.relay(quick())
	early, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := outbox.Append(t.Context(), early, event("early", 1)); err != nil {
		t.Fatal(err)
	}
	b.append(events(8, 20)...)
	servers.Eventually(t, "rows with higher ids are published", func() bool { return relay.Stats().Published == 160 })
	if err := early.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "the row with the lowest id is published", func() bool { return relay.Stats().Published == 161 })
}

func TestIdleRelayIsWokenByAppend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := quick()
	cfg.PollInterval = time.Hour
	b.relay(cfg).owning(t, outbox.Partitions)
	for n := 1; n <= 3; n++ {
		servers.Eventually(t, "the relay sleeps", func() bool { return b.asleep() == outbox.Partitions })
		b.append(event("pay-1", n))
		b.drained()
	}
}

func TestAppendNotifiesOnlyASleepingOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	listener, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := listener.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if _, err := listener.Exec(t.Context(), `LISTEN outbox`); err != nil {
		t.Fatal(err)
	}
	b.exec(`UPDATE outbox_partition SET asleep = false`)
	b.append(event("pay-1", 1))
	b.exec(`SELECT pg_notify('outbox', 'mark')`)
	b.exec(`UPDATE outbox_partition SET asleep = true`)
	b.append(event("pay-1", 2), event("pay-2", 2))
	b.exec(`SELECT pg_notify('outbox', 'mark')`)
	for i, want := range []string{"mark", "", "mark"} {
		n, err := listener.WaitForNotification(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n.Payload != want {
			t.Errorf("notification %d is %q, want %q", i, n.Payload, want)
		}
	}
}

func TestStopFinishesTheBatchInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(events(400, 10)...)
	cfg := quick()
	cfg.BatchMax = 50
	relay := b.relay(cfg)
	servers.Eventually(t, "some of the rows are published", func() bool { return relay.Stats().Published > 0 })
	relay.stop()
	left, published := int(b.status().Waiting), len(b.messages("PAYMENTS"))
	if left+published != 4000 || published == 0 {
		t.Errorf("%d rows left and %d messages published of 4000", left, published)
	}
	if relay.Stats().PartitionsOwned != 0 || len(b.status().Owners) != 0 {
		t.Errorf("partitions still owned: %+v", b.status().Owners)
	}
	b.relay(cfg)
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 400, 10)
}

func TestRunRefusesToRunTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := b.relay(quick()).owning(t, outbox.Partitions)
	if err := relay.Run(t.Context()); !errors.Is(err, outbox.ErrRunning) {
		t.Errorf("second run: %v", err)
	}
	relay.stop()
}

func TestRunEndsWithAClosedConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nc, js := b.connect()
	relay, err := outbox.NewRelay(b.pool, js, quick(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(t.Context()) }()
	servers.Eventually(t, "the relay owns its partitions", func() bool { return relay.Stats().PartitionsOwned > 0 })
	nc.Close()
	b.append(event("pay-1", 1))
	if err := <-ended; !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("run: %v", err)
	}
	if n := b.status().Waiting; n != 1 {
		t.Errorf("%d rows left, want 1", n)
	}
}

func TestNewRelayNamesEveryBadSetting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, cfg := range map[string]outbox.RelayConfig{
		"batch larger than a server takes": {BatchMax: 1001},
		"negative batch":                   {BatchMax: -1},
		"more lanes than partitions":       {Lanes: outbox.Partitions + 1},
		"negative duration":                {DrainTimeout: -time.Second},
	} {
		if _, err := outbox.NewRelay(b.pool, b.js, cfg, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := outbox.NewRelay(nil, b.js, outbox.RelayConfig{}, nil); err == nil {
		t.Error("no pool: accepted")
	}
}

// asleep counts the partitions whose owner asks for notifications.
func (b *bundle) asleep() int {
	b.t.Helper()
	var n int
	if err := b.pool.QueryRow(b.t.Context(), `SELECT count(*) FROM outbox_partition WHERE asleep`).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}
