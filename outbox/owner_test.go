package outbox_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestStandbyTakesOverWhenTheOwnerStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := quick()
	cfg.LockRetryInterval = time.Hour // the owner says that it goes
	first := b.relay(cfg).owning(t, outbox.Partitions)
	second := b.relay(cfg)
	b.append(events(10, 5)...)
	b.drained()
	if n := second.Stats().PartitionsOwned; n != 0 {
		t.Fatalf("the standby owns %d partitions", n)
	}
	servers.Eventually(t, "the standby listens", func() bool { return b.listeners() == 2 })
	first.stop()
	second.owning(t, outbox.Partitions)
	b.append(someEvents(10, 6)...)
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 10, 6)
}

func TestStandbyTakesOverWhenTheOwnerLosesItsSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.relay(quick()).owning(t, outbox.Partitions)
	owners := b.status().Owners
	if len(owners) != outbox.Partitions {
		t.Fatalf("owners: %+v", owners)
	}
	second := b.relay(quick())
	servers.Eventually(t, "the standby listens", func() bool { return b.listeners() == 2 })
	b.exec(`SELECT pg_terminate_backend($1)`, owners[0].PID)
	servers.Eventually(t, "every partition has another owner", func() bool {
		now := b.status().Owners
		return len(now) == outbox.Partitions && now[0].PID != owners[0].PID &&
			first.Stats().PartitionsOwned+second.Stats().PartitionsOwned == outbox.Partitions
	})
	b.append(events(10, 5)...)
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 10, 5)
}

func TestInspectNamesTheOwners(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if s := b.status(); len(s.Owners) != 0 || s.OldestAge != 0 {
		t.Errorf("no relay runs: %+v", s)
	}
	b.append(event("pay-1", 1))
	if s := b.status(); s.Waiting != 1 || s.OldestAge <= 0 {
		t.Errorf("one row waits: %+v", s)
	}
	b.relay(quick()).owning(t, outbox.Partitions)
	for i, owner := range b.status().Owners {
		if owner.Partition != i || owner.PID == 0 || owner.Since.IsZero() {
			t.Errorf("owner %d: %+v", i, owner)
		}
	}
}

// listeners counts the sessions of relays that tried the locks and now wait for notifications.
func (b *bundle) listeners() int {
	b.t.Helper()
	var n int
	err := b.pool.QueryRow(b.t.Context(), `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND state = 'idle' AND query LIKE $1`, "%pg_try_advisory_lock%").Scan(&n)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
