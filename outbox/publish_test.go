package outbox_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// The relay is killed after JetStream acknowledged a batch and before its rows are deleted.
func TestRowsPublishedBeforeACrashAreNotDoubled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(events(30, 10)...)
	lock := b.lockRows()
	cfg := quick()
	cfg.DrainTimeout = 10 * time.Millisecond
	first := b.relay(cfg)
	servers.Eventually(t, "both lanes published a batch", func() bool { return first.Stats().Published == 300 })
	first.stop() // it cannot delete
	b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	servers.Eventually(t, "the process is gone from PostgreSQL, too", func() bool { return b.waitingForLocks() == 0 })
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.status().Waiting; n != 300 {
		t.Fatalf("%d rows left, want all 300", n)
	}
	b.append(someEvents(30, 11)...) // behind the duplicates, in the same batches
	second := b.relay(quick())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 30, 11)
	if stats := second.Stats(); stats.Repeated != 300 || stats.Published != 30 {
		t.Errorf("want 300 repeated and 30 published: %+v", stats)
	}
}

func TestTheSameIDTwiceIsOneMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(event("pay-0", 1), event("pay-0", 1), event("pay-0", 2), event("pay-0", 1))
	b.relay(quick())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 1, 2)
}

func TestStreamWithoutAtomicPublishGetsSingleMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain := stream()
	plain.AllowAtomicPublish = false
	b.provision(plain)
	b.append(events(70, 6)...)
	relay := b.relay(quick())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 70, 6)
	if stats := relay.Stats(); stats.Batches != 0 || stats.Singles != 420 {
		t.Errorf("want 420 singles: %+v", stats)
	}
}

func TestBatchesShrinkToWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	b := setupOn(t, withConfig(t, `jetstream { limits { batch { max_msgs: 130 } } }`))
	b.append(events(800, 5)...)
	relay := b.relay(quick())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 800, 5)
	if stats := relay.Stats(); stats.Batches == 0 {
		t.Errorf("no batches: %+v", stats)
	}
}

func TestEachStreamGetsItsOwnBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision(jetstream.StreamConfig{
		Name: "COMMANDS", Subjects: []string{"payments.cmd.>"}, Duplicates: time.Minute, AllowAtomicPublish: true,
	})
	var msgs []outbox.Message
	for n := 1; n <= 5; n++ {
		for key := range 100 {
			msgs = append(msgs, event(keyName(key), n), outbox.Message{
				Subject: "payments.cmd.acme.resume." + keyName(key), OrderingKey: keyName(key),
				ID: fmt.Sprintf("%s:resume:%d", keyName(key), n),
			})
		}
	}
	b.append(msgs...)
	relay := b.relay(quick())
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 100, 5)
	if n := len(b.messages("COMMANDS")); n != 500 {
		t.Errorf("%d commands, want 500", n)
	}
	if stats := relay.Stats(); stats.Singles > 4 {
		t.Errorf("streams share batches: %+v", stats)
	}
}

// A subject the account may not publish to is answered by silence; the payments beside it must go
// on.
func TestASilentSubjectDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	b := setupOn(t, withConfig(t, `authorization { users: [
		{ user: admin, password: admin }
		{ user: relay, password: relay, permissions: { publish: { deny: "payments.evt.acme.payment.captured.secret" } } }
	] }`), "admin", "admin")
	_, js := b.connect("relay", "relay")
	b.append(event("pay-0", 1), event("secret", 1), event("pay-1", 1), event("pay-0", 2), event("pay-1", 2), event("secret", 2))
	cfg := quick()
	cfg.Lanes = 1 // one batch, and its end is what is not answered
	cfg.PublishTimeout = 100 * time.Millisecond
	b.relayOn(b.pool, js, cfg)
	servers.Eventually(t, "all but the silent ones are published", func() bool { return b.status().Waiting == 2 })
	wantInOrder(t, b.messages("PAYMENTS"), 2, 2)
	if rows := b.parked(); len(rows) != 0 {
		t.Errorf("parked: %+v", rows)
	}
}

// A row that has to wait for better times holds up what comes after it in its key, and nothing
// else.
func TestALaterRowDoesNotPassOneThatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	full := stream()
	full.MaxMsgsPerSubject, full.Discard, full.DiscardNewPerSubject = 1, jetstream.DiscardNew, true
	b.provision(full)
	other := event("pay-0", 3)
	other.Subject = "payments.evt.acme.payment.voided.pay-0"
	b.append(event("pay-0", 1), event("pay-0", 2), other, event("pay-1", 1), event("pay-2", 1))
	cfg := quick()
	cfg.Lanes = 1
	b.relay(cfg)
	servers.Eventually(t, "the other rows are published", func() bool { return b.status().Waiting == 2 })
	b.append(event("pay-3", 1))
	servers.Eventually(t, "later rows are published", func() bool { return len(b.messages("PAYMENTS")) == 4 })
	if diff := cmp.Diff([]string{"pay-0:1", "pay-1:1", "pay-2:1", "pay-3:1"}, b.sortedIDs()); diff != "" {
		t.Fatal(diff)
	}
	b.provision(stream())
	b.drained()
	if diff := cmp.Diff([]string{"pay-0:1", "pay-0:2", "pay-0:3", "pay-1:1", "pay-2:1", "pay-3:1"}, b.sortedIDs()); diff != "" {
		t.Error(diff)
	}
}

// lockRows holds every row of the outbox until the transaction it returns ends.
func (b *bundle) lockRows() pgx.Tx {
	b.t.Helper()
	tx, err := b.pool.Begin(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(b.t.Context())) }) // else the pool could not be closed
	if _, err := tx.Exec(b.t.Context(), `SELECT FROM outbox FOR UPDATE`); err != nil {
		b.t.Fatal(err)
	}
	return tx
}

// waitingForLocks counts the sessions that wait for a row.
func (b *bundle) waitingForLocks() int {
	b.t.Helper()
	var n int
	err := b.pool.QueryRow(b.t.Context(), `
		SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
