package outbox_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// A relay stalls between reading rows and publishing them. A standby takes its partitions over and
// publishes the rows, and the stream forgets their ids. When the stall ends, the relay must publish
// nothing: 1, 2, 3, 1 was on the stream.
func TestOursAStalledRelayPublishesNothingLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := stream()
	config.Duplicates = 100 * time.Millisecond
	b.provision(config)

	stalled, over := make(chan struct{}), make(chan struct{})
	var reached, first atomic.Bool
	stalling := quick()
	stalling.StreamKey = func(string) string { // It is called for each row that is about to be published.
		if !reached.Swap(true) {
			close(stalled)
			<-over
		}
		return "payments.evt"
	}
	pool := b.newPool("stalling")
	relay := b.relayOn(pool, b.js, stalling).owning(t, outbox.Partitions)
	standby := b.relay(quick())
	servers.Eventually(t, "the standby listens", func() bool { return b.listeners() == 2 })
	for n := 1; n <= 3; n++ {
		b.append(event("pay-1", n))
	}
	<-stalled
	b.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stalling'
		AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')`)
	standby.owning(t, outbox.Partitions)
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 1, 3)
	servers.Eventually(t, "the stream has forgotten the ids", func() bool {
		if first.CompareAndSwap(false, true) {
			b.mark()
		}
		return !b.mark().Duplicate
	})
	close(over)
	// The relay is done with its work when it stands by again.
	servers.Eventually(t, "the stalled relay listens again", func() bool { return b.listeners() == 2 })
	relay.stop()
	wantInOrder(t, b.messages("PAYMENTS"), 1, 3)
}

// mark publishes a message that is always the same.
func (b *bundle) mark() *jetstream.PubAck {
	b.t.Helper()
	ack, err := b.js.Publish(b.t.Context(), markSubject, nil, jetstream.WithMsgID("mark"))
	if err != nil {
		b.t.Fatal(err)
	}
	return ack
}
