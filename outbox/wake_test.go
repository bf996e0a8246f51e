package outbox_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/harness"
)

// A relay that sleeps, and that nothing notifies, is told by whoever wrote the row.
func TestWakeTellsARelayThatSleeps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cfg := quick()
	cfg.PollInterval = time.Hour
	relay := b.relay(cfg)
	b.append(events(1, 1)...)
	b.drained()
	harness.Eventually(t, "the relay to sleep", func() bool {
		var awake int
		// A relay that is awake looks every few milliseconds.
		err := b.pool.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM outbox_partition WHERE NOT asleep)
			     + (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			        AND query LIKE '%FROM outbox w%' AND state_change > clock_timestamp() - interval '200 ms')`).Scan(&awake)
		return err == nil && awake == 0
	})
	b.exec(`INSERT INTO outbox (partition, subject, message_id, ordering_key, payload)
		VALUES (3, 'payments.evt.acme.payment.captured.p1', 'p1:1', 'p1', '{}')`)
	relay.Wake()
	b.drained()
	if got := b.messages("PAYMENTS"); len(got) != 2 {
		t.Errorf("%d messages were published, want 2", len(got))
	}
}
