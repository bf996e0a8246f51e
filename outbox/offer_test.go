package outbox_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// stretch is messages after to upto of a key, the first of which is after+1.
func stretch(key string, after, upto int) outbox.Stretch {
	s := outbox.Stretch{Key: key, After: int64(after), Upto: int64(upto)}
	for n := after + 1; n <= upto; n++ {
		s.Messages = append(s.Messages, event(key, n))
	}
	return s
}

// appendStretches commits stretches in a transaction of their own.
func (b *bundle) appendStretches(stretches ...outbox.Stretch) *outbox.Appended {
	b.t.Helper()
	appended, err := b.tryAppendStretches(stretches...)
	if err != nil {
		b.t.Fatal(err)
	}
	return appended
}

func (b *bundle) tryAppendStretches(stretches ...outbox.Stretch) (*outbox.Appended, error) {
	var batch pgx.Batch
	appended, err := outbox.QueueStretches(&batch, stretches)
	if err != nil {
		return nil, err
	}
	return appended, b.pool.SendBatch(b.t.Context(), &batch).Close()
}

// A row that only its writer sees yet can be published only because it was offered. (Offering it
// before the commit is what a program must not do.)
func TestOfferedRowsNeedNotBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := b.relay(quick()).owning(t, outbox.Partitions)
	var batch pgx.Batch
	var stretches []outbox.Stretch
	for n := range 3 {
		for key := range 50 {
			stretches = append(stretches, stretch(keyName(key), 2*n, 2*n+2))
		}
	}
	appended, err := outbox.QueueStretches(&batch, stretches)
	if err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		if err := tx.SendBatch(t.Context(), &batch).Close(); err != nil {
			return err
		}
		relay.Offer(appended)
		servers.Eventually(t, "all is published", func() bool { return relay.Stats().Published == 300 })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 50, 6)
	if stats := relay.Stats(); stats.Offered != 300 {
		t.Errorf("want 300 offered: %+v", stats)
	}
}

// What came before was appended by another process, and is still in the table: a row that is
// offered must not pass it.
func TestAStretchThatFollowsNothingKnownIsLeftToTheTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := newWire(t, b.bus.URL())
	relay := b.relayOn(b.pool, b.connectOver(w), quick()).owning(t, outbox.Partitions)
	w.cut()
	b.appendStretches(stretch("pay-0", 0, 1), stretch("pay-1", 0, 1))
	relay.Offer(b.appendStretches(stretch("pay-0", 1, 2)))
	relay.Offer(b.appendStretches(stretch("pay-0", 2, 3), stretch("pay-1", 1, 3)))
	w.mend()
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 2, 3)
	if stats := relay.Stats(); stats.Offered != 0 {
		t.Errorf("want none offered: %+v", stats)
	}
}

// A row that is refused keeps what follows it in its key off the bus, offered or not.
func TestOfferedRowsWaitBehindAParkedOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	small := stream()
	small.MaxMsgSize = 1000
	b.provision(small)
	relay := b.relay(quick()).owning(t, outbox.Partitions)
	large := stretch("pay-0", 1, 3)
	large.Messages[0].Payload = make([]byte, 2000)
	relay.Offer(b.appendStretches(stretch("pay-0", 0, 1), stretch("pay-1", 0, 1)))
	relay.Offer(b.appendStretches(large, stretch("pay-1", 1, 3)))
	relay.Offer(b.appendStretches(stretch("pay-0", 3, 4)))
	servers.Eventually(t, "its key is parked", func() bool { return b.status().Parked == 1 })
	relay.Offer(b.appendStretches(stretch("pay-0", 4, 5), stretch("pay-1", 3, 4)))
	b.drained()
	if diff := cmp.Diff([]string{"pay-0:1", "pay-1:1", "pay-1:2", "pay-1:3", "pay-1:4"}, b.sortedIDs()); diff != "" {
		t.Error(diff)
	}
	if s := b.status(); s.Parked != 1 || s.Behind != 3 {
		t.Errorf("want 1 parked and 3 behind it: %+v", s)
	}
	b.provision(stream())
	if _, err := outbox.Unpark(t.Context(), b.pool, "pay-0"); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "all is published", func() bool { s := b.status(); return s.Waiting+s.Behind+s.Parked == 0 })
	if n := len(b.sortedIDs()); n != 9 {
		t.Errorf("%d messages, want 9", n)
	}
}

// While the broker is away rows are offered, and read, and offered too late.
func TestOfferedRowsOutliveTheBroker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := newWire(t, b.bus.URL())
	relay := b.relayOn(b.pool, b.connectOver(w), quick()).owning(t, outbox.Partitions)
	for n := range 10 {
		if n == 3 {
			b.restartBroker(w)
		}
		var late []*outbox.Appended
		for key := range 30 {
			appended := b.appendStretches(stretch(keyName(key), n, n+1))
			if key%3 == 0 {
				late = append(late, appended)
				continue
			}
			relay.Offer(appended)
		}
		for _, appended := range late {
			relay.Offer(appended)
		}
	}
	b.drained()
	wantInOrder(t, b.messages("PAYMENTS"), 30, 10)
}
