package checkpoint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/checkpoint"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// However many takers run, every event is covered once and every checkpoint is published once.
func TestTakersPublishOneSeries(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.relay()
	for range 3 {
		b.taker()
	}
	for range 20 {
		b.pay()
	}
	b.covered()
	if covered, all := b.count(`SELECT sum(events) FROM checkpoints`), b.count(`SELECT count(*) FROM payment_events`); covered != all {
		t.Errorf("%d events are covered, of %d", covered, all)
	}
	checkpoints := b.count(`SELECT count(*) FROM checkpoints`)
	stream, err := b.js.Stream(t.Context(), messages.StreamAudit)
	if err != nil {
		t.Fatal(err)
	}
	if held := stream.CachedInfo().State.Msgs; int(held) != checkpoints {
		t.Errorf("the stream holds %d messages, the database %d checkpoints", held, checkpoints)
	}
	if c := b.compare(); int(c.Compared) != checkpoints || len(c.Findings) > 0 {
		t.Errorf("compared %d of %d, found %+v", c.Compared, checkpoints, c.Findings)
	}
}

// A taker goes on where PostgreSQL was away, and leaves when it is told to.
func TestTakerOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.relay()
	b.exec(`ALTER TABLE checkpoints RENAME TO elsewhere`)
	core, logs := observer.New(zap.InfoLevel)
	stop := b.run(checkpoint.NewTaker(b.pool, 10*time.Millisecond, zap.New(core), time.Now).Run)
	b.pay()
	servers.Eventually(t, "the outage is noticed", func() bool { return logs.Len() == 1 })
	b.exec(`ALTER TABLE elsewhere RENAME TO checkpoints`)
	b.covered()
	servers.Eventually(t, "its end is noticed", func() bool { return logs.Len() == 2 })
	stop()
}

func TestComparisonNamesEveryDifference(t *testing.T) {
	t.Parallel()
	const off = `ALTER TABLE checkpoints DISABLE TRIGGER append_only`
	foreign := messages.Checkpoint{Number: 9, ToPosition: 1, Events: 1, Payments: 1}
	for name, c := range map[string]struct {
		sql     string
		publish string
		want    string // "" for nothing
	}{
		"nothing":             {"SELECT", "", ""},
		"changed":             {`UPDATE checkpoints SET events = events + 1 WHERE number = 2`, "", "checkpoint 2 in the database is not the one on the bus, message 2"},
		"removed":             {`DELETE FROM checkpoints WHERE number = 3`, "", "checkpoint 3 is on the bus and not in the database"},
		"added":               {`INSERT INTO checkpoints SELECT 4, to_position, to_position + 1, 1, 1, created_at, root, previous_hash, leaves FROM checkpoints WHERE number = 3`, "", "checkpoint 4 is in the database, and neither"},
		"still in the outbox": {`INSERT INTO outbox (partition, subject, message_id, ordering_key, payload) VALUES (0, 'payments.audit.checkpoint', 'checkpoint:4', 'checkpoints', ''); INSERT INTO checkpoints SELECT 4, to_position, to_position + 1, 1, 1, created_at, root, previous_hash, leaves FROM checkpoints WHERE number = 3`, "", ""},
		"published by others": {"SELECT", "{}", "message 4 of PAYMENTS_AUDIT"},
		"invented":            {"SELECT", strings.Replace(string(foreign.Body()), "0001-01-01", "2026-01-01", 1), "checkpoint 9 is on the bus and not in the database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			stop := b.relay()
			for range 3 {
				b.pay()
				stop := b.taker()
				b.covered()
				stop()
			}
			stop()
			if before := b.compare(); before.Compared != 3 || len(before.Findings) > 0 {
				t.Fatalf("before: %+v", before)
			}
			b.exec(off)
			b.exec(c.sql)
			if c.publish != "" {
				if _, err := b.js.Publish(t.Context(), messages.SubjectCheckpoint, []byte(c.publish)); err != nil {
					t.Fatal(err)
				}
			}
			found := b.compare().Findings
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("found %+v", found)
			case c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Detail, c.want) || found[0].Invariant != books.CheckpointsPublished):
				t.Errorf("found %+v, want: %s", found, c.want)
			}
		})
	}
}

// A stream that was lost and made again begins with a later checkpoint; what was before can't be
// compared.
func TestStreamThatWasLostIsNotHeldAgainstTheDatabase(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.relay()
	b.taker()
	b.pay()
	b.covered()
	if err := b.js.DeleteStream(t.Context(), messages.StreamAudit); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(t.Context(), audit()); err != nil {
		t.Fatal(err)
	}
	if c := b.compare(); c.Compared != 0 || len(c.Findings) > 0 {
		t.Errorf("compared %d with an empty stream, found %+v", c.Compared, c.Findings)
	}
	before := b.count(`SELECT count(*) FROM checkpoints`)
	b.pay()
	b.covered()
	servers.Eventually(t, "what is new is compared", func() bool {
		c := b.compare()
		return int(c.Compared) == b.count(`SELECT count(*) FROM checkpoints`)-before && len(c.Findings) == 0
	})
}

// A stream that was deleted is a finding, not a reason to leave the comparison out.
func TestOursADeletedAuditStreamIsFound(t *testing.T) {
	t.Parallel()
	b := open(t)
	b.relay()
	b.taker()
	b.pay()
	b.covered()
	if err := b.js.DeleteStream(t.Context(), messages.StreamAudit); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, "the deleted stream is found", func() bool {
		c, err := checkpoint.Compare(t.Context(), b.js, b.pool)
		return err == nil && len(c.Findings) == 1 && strings.Contains(c.Findings[0].Detail, "stream PAYMENTS_AUDIT is gone")
	})
}

func audit() jetstream.StreamConfig {
	streams := bus.Streams(bus.StreamOptions{})
	return streams[len(streams)-1]
}
