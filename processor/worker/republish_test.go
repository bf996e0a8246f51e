package worker_test

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/republish"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

func (s *system) republish(o republish.Options) republish.Report {
	s.t.Helper()
	parts := republish.Parts{
		DB: s.pool, JetStream: s.js,
		Backlog: func(ctx context.Context) (int64, bool, error) { return outbox.Backlog(ctx, s.pool) },
	}
	report, err := republish.Run(s.t.Context(), parts, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// published is what the stream of events holds, by payment, in its order.
func (s *system) published() map[uuid.UUID][]*jetstream.RawStreamMsg {
	s.t.Helper()
	found := map[uuid.UUID][]*jetstream.RawStreamMsg{}
	from := bus.ScanFrom{Stream: messages.StreamEvents, Subject: "payments.evt.>"}
	err := bus.Scan(s.t.Context(), s.js, from, func(m *jetstream.RawStreamMsg) bool {
		_, _, id, err := messages.ParseEventSubject(m.Subject)
		if err != nil {
			s.t.Fatal(err)
		}
		found[id] = append(found[id], m)
		return true
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// busMatchesHistory checks that the stream holds every published event of the history byte for
// byte, in order by the last time that each is there, and nothing else. exact says that nothing is
// there twice.
func (s *system) busMatchesHistory(ids []uuid.UUID, exact bool) {
	s.t.Helper()
	found := s.published()
	if len(found) != len(ids) {
		s.t.Errorf("%d payments on the bus, want %d", len(found), len(ids))
	}
	for _, id := range ids {
		last, bodies := map[string]uint64{}, map[string][]byte{}
		for _, m := range found[id] {
			key := m.Header.Get(messages.HeaderMessageID)
			if _, twice := last[key]; twice && exact {
				s.t.Errorf("%s is there twice", key)
			}
			last[key], bodies[key] = m.Sequence, m.Data
		}
		previous, want := uint64(0), 0
		rows, err := s.pool.Query(s.t.Context(), `SELECT version, type, data FROM payment_events WHERE payment_id = $1 ORDER BY version`, id)
		if err != nil {
			s.t.Fatal(err)
		}
		for rows.Next() {
			var e messages.Event
			var kind string
			var data []byte
			if err := rows.Scan(&e.Version, &kind, &data); err != nil {
				s.t.Fatal(err)
			}
			if !messages.EventType(kind).Published() {
				continue
			}
			want++
			e.PaymentID = id
			key := messages.EventMessageID(e)
			if last[key] <= previous || !bytes.Equal(bodies[key], data) {
				s.t.Errorf("%s (%s) is at %d, after %d", key, kind, last[key], previous)
			}
			previous = last[key]
		}
		if err := rows.Err(); err != nil || want != len(last) {
			s.t.Errorf("payment %s has %d events on the bus, want %d (%v)", id, len(last), want, err)
		}
	}
}

// outboxEmpty waits until everything is published.
func (s *system) outboxEmpty() {
	s.t.Helper()
	servers.Eventually(s.t, "the outbox is empty", func() bool {
		status, err := outbox.Inspect(s.t.Context(), s.pool)
		return err == nil && status.Waiting+status.Parked+status.Behind == 0
	})
}

// replaceBus puts a copy of the bus in the place of the bus; "" is an empty one.
func (s *system) replaceBus(dir string) {
	s.t.Helper()
	s.bus.Down()
	entries, err := os.ReadDir(s.busDir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := os.RemoveAll(s.busDir + "/" + e.Name()); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if dir != "" {
		if err := os.CopyFS(s.busDir, os.DirFS(dir)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.busUp()
}

func (s *system) busUp() {
	s.t.Helper()
	if err := s.bus.Up(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	servers.Eventually(s.t, "the bus is back", func() bool { return s.nc.IsConnected() })
	servers.Eventually(s.t, "the streams can be made", func() bool {
		_, err := bus.Provision(s.t.Context(), s.js, s.streams, bus.ProvisionOptions{})
		return err == nil
	})
}

// copyBus takes a copy of the bus.
func (s *system) copyBus() (dir string) {
	s.t.Helper()
	dir = s.t.TempDir() + "/copy"
	s.bus.Down()
	entries, err := os.ReadDir(s.busDir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := os.CopyFS(dir+"/"+e.Name(), os.DirFS(s.busDir+"/"+e.Name())); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.busUp()
	return dir
}

func withBusDir(t *testing.T) func(*system) {
	return func(s *system) {
		s.busDir = t.TempDir()
		s.streams.DuplicatesWindow = 100 * time.Millisecond
	}
}

func manual() *messages.Create {
	c := create("pm_card_visa")
	c.CaptureMethod = messages.CaptureManual
	return c
}

func TestARestoredBusGetsItsEventsBack(t *testing.T) {
	t.Parallel()
	s := setup(t, withBusDir(t))
	stop := s.worker()
	const payments = 12
	var ids []uuid.UUID
	begin := func(n int) {
		for range n {
			id := newID()
			ids = append(ids, id)
			s.expect(s.outcome(id, "create "+id.String(), manual()), messages.EventPaymentAuthorized)
		}
	}
	begin(payments)
	s.outboxEmpty()
	backup := s.copyBus()

	// What the copy does not hold: a first capture of some, and more payments.
	for _, id := range ids[:payments/2] {
		s.expect(s.outcome(id, "first "+id.String(), &messages.Capture{AmountMinor: amount(2000)}), messages.EventPaymentCaptured)
	}
	begin(payments)
	s.settled()
	stop()
	s.verify()
	s.busMatchesHistory(ids, true)

	s.replaceBus(backup)
	s.worker()
	// Life goes on with some of them before the loss is noticed.
	for _, id := range ids[:payments/4] {
		s.expect(s.outcome(id, "refund "+id.String(), &messages.Refund{AmountMinor: amount(500)}), messages.EventRefundSucceeded)
	}
	s.expect(s.outcome(ids[payments-1], "last", &messages.Capture{}), messages.EventPaymentCaptured)
	s.outboxEmpty()

	dry := s.republish(republish.Options{DryRun: true})
	if dry.Payments != 2*payments || dry.Missing < payments || dry.Behind != payments/2+payments || dry.NotInStore != 0 {
		t.Errorf("dry run: %+v", dry)
	}
	servers.Eventually(t, "nothing is missing", func() bool {
		r := s.republish(republish.Options{})
		s.outboxEmpty()
		return r.Behind == 0
	})
	s.busMatchesHistory(ids, false)
	before := len(s.published()[ids[0]])
	if again := s.republish(republish.Options{}); again.Queued != 0 || again.Missing != 0 {
		t.Errorf("again: %+v", again)
	}

	// Regardless of what the bus holds, for one payment and a time.
	servers.Eventually(t, "one is sent again", func() bool {
		r := s.republish(republish.Options{All: true, PublishedRange: books.PublishedRange{Payments: ids[:1]}})
		return r.Payments == 1 && r.Queued > 0
	})
	s.outboxEmpty()
	if after := len(s.published()[ids[0]]); after <= before {
		t.Errorf("%d messages, %d before", after, before)
	}
	if r := s.republish(republish.Options{All: true, PublishedRange: books.PublishedRange{Since: time.Now().Add(time.Minute)}}); r.Payments != 0 {
		t.Errorf("of the future: %+v", r)
	}
	s.busMatchesHistory(ids, false)
	s.verify()
}

func TestALostBusIsRefilledInOrderWhileNoRelayRuns(t *testing.T) {
	t.Parallel()
	s := setup(t, withBusDir(t))
	s.worker()
	var ids []uuid.UUID
	for range 5 {
		id := newID()
		ids = append(ids, id)
		s.expect(s.outcome(id, "create "+id.String(), manual()), messages.EventPaymentAuthorized)
	}
	s.outboxEmpty()
	s.stopRelay()
	s.replaceBus("")
	// Newer events wait already.
	s.publish(ids[0], "first", &messages.Capture{AmountMinor: amount(2000)})
	servers.Eventually(t, "the capture is done", func() bool { return s.get(ids[0]).CapturedMinor == 2000 })
	if r := s.republish(republish.Options{}); r.Behind != 5 || len(r.Left) != 0 || r.NotInStore != 0 {
		t.Errorf("%+v", r)
	}
	if r := s.republish(republish.Options{}); r.Queued != 0 || r.Behind != 0 {
		t.Errorf("what waits is not missing: %+v", r)
	}
	s.run("relay", s.relay().Run)
	s.outboxEmpty()
	s.busMatchesHistory(ids, true)
	s.verify()
}
