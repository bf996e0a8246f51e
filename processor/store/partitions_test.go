package store_test

import (
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// madeAt is an id of version 7 from a time.
func madeAt(at time.Time) uuid.UUID {
	u := newID()
	binary.BigEndian.PutUint32(u[:4], uint32(at.UnixMilli()>>16))
	binary.BigEndian.PutUint16(u[4:6], uint16(at.UnixMilli()))
	return u
}

// partitionOf says in which partition the events of a payment are.
func (b *bundle) partitionOf(paymentID uuid.UUID) (name string) {
	b.Helper()
	err := b.Pool.QueryRow(b.Context(),
		`SELECT DISTINCT e.tableoid::regclass::text FROM payment_events e WHERE e.payment_id = $1`, paymentID.String()).Scan(&name)
	if err != nil {
		b.Fatalf("look for the partition of %s: %v", paymentID, err)
	}
	return name
}

func utc(year int, month time.Month) time.Time {
	return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
}

// No id is refused for want of a partition.
func TestEveryEventHasAPartition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := store.EnsurePartitions(t.Context(), b.Pool, utc(2031, time.May)); err != nil {
		t.Fatal(err)
	}
	random := uuid.MustParse("c0ffee00-0000-4000-8000-000000000001")
	for _, c := range []struct {
		paymentID uuid.UUID
		partition string
	}{
		{madeAt(utc(2031, time.April)), "payment_events_2031q2"},
		{madeAt(utc(2031, time.July).Add(-time.Millisecond)), "payment_events_2031q2"},
		{madeAt(utc(2031, time.July)), "payment_events_2031q3"},
		{madeAt(utc(2033, time.June)), "payment_events_2033q2"},
		{madeAt(utc(2033, time.July)), "payment_events_default"},
		{madeAt(utc(2031, time.April).Add(-time.Millisecond)), "payment_events_default"},
		{madeAt(utc(2024, time.December)), "payment_events_early"},
		{madeAt(utc(2045, time.January)), "payment_events_random"},
		{random, "payment_events_random"},
		{uuid.Max, "payment_events_random"},
		{uuid.MustParse("00000000-0000-4000-8000-000000000001"), "payment_events_early"},
	} {
		b.Handle(create(c.paymentID, c.paymentID.String(), ""), succeeded(), start())
		if got := b.partitionOf(c.paymentID); !strings.HasPrefix(got, c.partition) {
			t.Errorf("events of %s are in %s, want %s", c.paymentID, got, c.partition)
		}
		if events, err := b.Store.History(t.Context(), tenant, c.paymentID); err != nil || len(events) < 3 {
			t.Errorf("history of %s: %d events, %v", c.paymentID, len(events), err)
		}
	}
	b.WantClean()
}

// A quarter that was late takes over what came before it, and repeating it does nothing.
func TestLateQuarterTakesItsEventsOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	late, other := madeAt(utc(2041, time.February)), madeAt(utc(2043, time.June))
	for _, paymentID := range []uuid.UUID{late, other} {
		b.Handle(create(paymentID, paymentID.String(), ""), succeeded(), start())
	}
	before := b.Count(`SELECT sum(position) FROM payment_events`)
	for _, want := range []int{9, 0} {
		made, err := store.EnsurePartitions(t.Context(), b.Pool, utc(2041, time.January))
		if err != nil || made != want {
			t.Errorf("%d partitions made, %v; want %d", made, err, want)
		}
	}
	if got := b.partitionOf(late); got != "payment_events_2041q1" {
		t.Errorf("events of the quarter are in %s", got)
	}
	if got := b.partitionOf(other); got != "payment_events_default" {
		t.Errorf("events of another quarter are in %s", got)
	}
	if after := b.Count(`SELECT sum(position) FROM payment_events`); after != before {
		t.Error("the positions have changed")
	}
	_, err := b.Pool.Exec(t.Context(), `DELETE FROM payment_events_2041q1`)
	wantCode(t, "delete from the new partition", err, "23001")
	_, err = b.Pool.Exec(t.Context(), `DELETE FROM payment_events_default`)
	wantCode(t, "delete from the default partition", err, "23001")
	b.WantClean()
}

// Partitions are made while payments go on.
func TestPartitionsAreMadeUnderTraffic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var traffic sync.WaitGroup
	traffic.Go(func() { b.CommitMany(300) })
	for year := range 3 {
		if _, err := store.EnsurePartitions(t.Context(), b.Pool, utc(2035+3*year, time.January)); err != nil {
			t.Error(err)
		}
	}
	traffic.Wait()
	b.WantClean()
}

// What looks for one payment, or for a range of them, opens the partitions that they can be in,
// though the statement was planned for any.
func TestHistoryIsReadFromOnePartition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn := b.Connect()
	paymentID := madeAt(time.Now()).String()
	storetest.WantOnePartition(t, conn, "history", `'`+paymentID+`', ''`)
	storetest.WantOnePartition(t, conn, "event_hash", `'`+paymentID+`', 1`)
}
