package store_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// checkpoint takes one checkpoint of what there is, which has to be possible now.
func (b *bundle) checkpoint() messages.Checkpoint {
	b.Helper()
	mark, err := b.store.MarkCheckpoint(b.Context())
	if err != nil || mark.IsZero() {
		b.Fatalf("the mark is zero: %v, %v", mark.IsZero(), err)
	}
	var taken messages.Checkpoint
	// Tests on other databases of the server have transactions, too.
	for taken, err = b.store.TakeCheckpoint(b.Context(), mark, start()); errors.Is(err, store.ErrTooEarly); {
		taken, err = b.store.TakeCheckpoint(b.Context(), mark, start())
	}
	if err != nil {
		b.Fatal(err)
	}
	return taken
}

func (b *bundle) recorded() []store.RecordedCheckpoint {
	b.Helper()
	var all []store.RecordedCheckpoint
	err := store.Checkpoints(b.Context(), b.serving, 0, func(c store.RecordedCheckpoint) error {
		all = append(all, c)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

func TestCheckpointsFollowEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if mark, err := b.store.MarkCheckpoint(t.Context()); err != nil || !mark.IsZero() {
		t.Errorf("nothing is recorded, but the mark is %+v, %v", mark, err)
	}
	b.sample()
	one := b.checkpoint()
	if one.Number != 1 || one.FromPosition != 0 || one.Payments != 3 || !one.PreviousHash.IsZero() ||
		int(one.Events) != b.count(`SELECT count(*) FROM payment_events`) {
		t.Errorf("the first is %+v", one)
	}
	if mark, err := b.store.MarkCheckpoint(t.Context()); err != nil || !mark.IsZero() {
		t.Errorf("nothing is new, but the mark is %+v, %v", mark, err)
	}
	b.sample()
	two := b.checkpoint()
	if two.Number != 2 || two.FromPosition != one.ToPosition || two.PreviousHash != one.Hash() || two.Root == one.Root {
		t.Errorf("the second is %+v", two)
	}
	want := []store.RecordedCheckpoint{{Checkpoint: one, Waiting: true}, {Checkpoint: two, Waiting: true}}
	if diff := cmp.Diff(want, b.recorded()); diff != "" {
		t.Errorf("-taken +recorded:\n%s", diff)
	}
	// Each is published with its row, under its own id and in order.
	if n := b.count(`SELECT count(*) FROM outbox WHERE subject = 'payments.audit.checkpoint' AND ordering_key = 'checkpoints'
		AND payload = $1`, two.Body()); n != 1 {
		t.Errorf("the body of the second is in the outbox %d times", n)
	}
	report := b.check()
	if !report.Clean() || report.Checkpoints != 2 {
		t.Errorf("%d checkpoints, found %+v", report.Checkpoints, report.Findings)
	}
}

// Rows are committed in another order than they get their positions.
func TestCheckpointWaitsForOpenTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slow := first(create(newID(), "k1", ""))
	b.commit(slow)
	// A second payment's events, written by hand and not committed yet.
	tx, err := b.connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data)
		SELECT $1, version + 2, occurred_at, type, traceparent, data FROM payment_events WHERE payment_id = $1`, slow.Payment.ID.String()); err != nil {
		t.Fatal(err)
	}
	early, err := b.store.MarkCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.commit(first(create(newID(), "k2", ""))) // at positions above
	mark, err := b.store.MarkCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []store.CheckpointMark{early, mark} {
		if c, err := b.store.TakeCheckpoint(t.Context(), mark, start()); !errors.Is(err, store.ErrTooEarly) {
			t.Fatalf("taken over an open transaction: %+v, %v", c, err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := b.store.TakeCheckpoint(t.Context(), mark, start())
		if errors.Is(err, store.ErrTooEarly) {
			continue // because of other databases
		}
		if err != nil || c.Events != 6 {
			t.Errorf("%d events are covered, %v; want those of both transactions", c.Events, err)
		}
		break
	}
	if report := b.check(); report.Violated[store.CheckpointsMatchHistory] != 0 {
		t.Errorf("found %+v", report.Findings)
	}
}

// Many may take checkpoints while payments go on; they make one series that covers every event once.
func TestSchedulersTakeOneSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payments = 300
	var taking, paying sync.WaitGroup
	paid := make(chan struct{})
	for range 3 {
		s := b.newStore(b.serving, store.Config{Committers: 1, Loaders: 1})
		taking.Go(func() {
			for done := false; !done; {
				select {
				case <-paid:
					done = true
				default:
				}
				mark, err := s.MarkCheckpoint(t.Context())
				for err == nil && !mark.IsZero() {
					if _, err = s.TakeCheckpoint(t.Context(), mark, start()); err == nil {
						break
					}
					if errors.Is(err, store.ErrTooEarly) {
						err = nil
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	paying.Go(func() { b.commitMany(payments) })
	paying.Wait()
	close(paid)
	taking.Wait()
	if mark, err := b.store.MarkCheckpoint(t.Context()); err != nil {
		t.Error(err)
	} else if !mark.IsZero() {
		b.checkpoint()
	}
	var events int64
	for _, c := range b.recorded() {
		events += c.Events
	}
	if all := b.count(`SELECT count(*) FROM payment_events`); int(events) != all {
		t.Errorf("the checkpoints cover %d events of %d", events, all)
	}
	b.wantClean()
}

// What was rolled back is spanned, and what is too much for one checkpoint makes several.
func TestCheckpointsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`SELECT setval('payment_events_position', 250000)`)
	b.sample()
	b.exec(`SELECT setval('payment_events_position', 400000)`)
	b.sample()
	one, two := b.checkpoint(), b.checkpoint()
	if one.FromPosition != 0 || one.ToPosition != 300_000 || two.FromPosition != 300_000 || two.ToPosition < 400_000 {
		t.Errorf("the first covers %d to %d, the second %d to %d", one.FromPosition, one.ToPosition, two.FromPosition, two.ToPosition)
	}
	b.wantClean()
}

// forge is a way of editing the books as the superuser, and where that must be noticed.
type forge struct {
	sql  []string // $1 is the payment
	want []store.Invariant
	says string
	// alone says that nothing else may notice: the forgery is complete but for the checkpoint.
	alone bool
}

const (
	// rechain recomputes the hashes from version 2 on and the one in the state, as who understands the chain would.
	rechain = `DO $$ DECLARE e record; h text := ''; BEGIN
		FOR e IN SELECT payment_id, version FROM payment_events ORDER BY payment_id, version LOOP
			IF e.version > 1 THEN
				UPDATE payment_events n SET data = regexp_replace(n.data::text, '"previous_hash":"[0-9a-f]*"', '"previous_hash":"' || h || '"')::json
				WHERE n.payment_id = e.payment_id AND n.version = e.version;
			END IF;
			SELECT encode(sha256(convert_to(n.traceparent || E'\n' || n.data::text, 'UTF8')), 'hex') INTO h
			FROM payment_events n WHERE n.payment_id = e.payment_id AND n.version = e.version;
			UPDATE payments p SET state = regexp_replace(p.state::text, '"last_hash":"[0-9a-f]*"', '"last_hash":"' || h || '"')::json
			WHERE p.payment_id = e.payment_id;
		END LOOP; END $$`
	editState  = `UPDATE payments SET state = replace(state::text, 'cus_1', 'cus_2')::json, customer_id = 'cus_2' WHERE payment_id = $1`
	editEvent  = `UPDATE payment_events SET data = replace(data::text, 'cus_1', 'cus_2')::json WHERE payment_id = $1 AND version = 1`
	removeRest = `DELETE FROM payments WHERE payment_id = $1`
)

func forgeries() map[string]forge {
	chain, covered := store.HashChain, store.CheckpointsMatchHistory
	return map[string]forge{
		"a body, and the state to match": {[]string{editEvent, editState}, []store.Invariant{chain}, "event 2 does not follow", false},
		"a traceparent":                  {[]string{`UPDATE payment_events SET traceparent = '' WHERE payment_id = $1 AND version = 2`}, []store.Invariant{chain}, "event 3 does not follow", false},
		"the last event":                 {[]string{`UPDATE payment_events SET data = replace(data::text, 'ch_1', 'ch_2')::json WHERE payment_id = $1 AND version = 3`}, []store.Invariant{chain, covered}, "event 3 is not the last", false},
		"two events swapped": {[]string{
			`UPDATE payment_events SET version = 9 - version, data = replace(data::text, '"version":' || version, '"version":' || 5 - version)::json WHERE payment_id = $1 AND version IN (2, 3)`,
			`UPDATE payment_events SET version = version - 4 WHERE payment_id = $1 AND version > 3`,
		}, []store.Invariant{chain, covered}, "event 2 does not follow", false},
		"an event removed from the middle": {[]string{`DELETE FROM payment_events WHERE payment_id = $1 AND version = 2`}, []store.Invariant{chain, covered}, "event 3 does not follow what is there as event 1", false},
		"the last event removed":           {[]string{`DELETE FROM payment_events WHERE payment_id = $1 AND version = 3`}, []store.Invariant{chain, covered}, "events 1 to 2", false},
		"a whole payment removed":          {[]string{`DELETE FROM payment_events WHERE payment_id = $1`, removeRest, `DELETE FROM timers WHERE payment_id = $1`, `DELETE FROM commands WHERE payment_id = $1`, `DELETE FROM outbox WHERE ordering_key = $1::text`}, []store.Invariant{covered}, "events 1 to 3", true},
		"an event inserted": {[]string{`INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data, position)
			SELECT payment_id, 4, occurred_at, type, traceparent, replace(data::text, '"version":3', '"version":4')::json, position FROM payment_events WHERE payment_id = $1 AND version = 3`}, []store.Invariant{chain, covered}, "event 4 does not follow", false},
		"a payment inserted below the checkpoint": {[]string{`INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data, position)
			SELECT '019a0000-0000-7000-8000-000000000000', 1, occurred_at, type, traceparent, data, position FROM payment_events WHERE payment_id = $1 AND version = 1`}, []store.Invariant{covered}, "were not there when checkpoint 1 was taken", false},
		"the whole chain computed anew":         {[]string{editEvent, editState, `DELETE FROM outbox`, rechain}, []store.Invariant{covered}, "events 1 to 3", true},
		"an event moved beyond the checkpoint":  {[]string{`UPDATE payment_events SET position = position + 1000 WHERE payment_id = $1 AND version = 3`}, []store.Invariant{covered}, "events 1 to 2", false},
		"a checkpoint's root":                   {[]string{`UPDATE checkpoints SET root = sha256(root)`}, []store.Invariant{covered}, "its leaves do not give its root", false},
		"a checkpoint's leaves":                 {[]string{`UPDATE checkpoints SET leaves = substr(leaves, 1, octet_length(leaves) - 1) || '\x00'::bytea`}, []store.Invariant{covered}, "checkpoint 1", false},
		"a checkpoint's count":                  {[]string{`UPDATE checkpoints SET events = events + 1`}, []store.Invariant{covered}, "are there", false},
		"a checkpoint removed":                  {[]string{`DELETE FROM checkpoints WHERE number = 1`}, []store.Invariant{covered}, "checkpoint 2 follows checkpoint 0", false},
		"a checkpoint exchanged, with its root": {[]string{`UPDATE checkpoints SET created_at = created_at + interval '1 s' WHERE number = 1`}, []store.Invariant{covered}, "checkpoint 2 does not follow", false},
	}
}

// Whatever is done to the books past all guards is found, by name and at its payment.
func TestForgeryIsFound(t *testing.T) {
	t.Parallel()
	for name, f := range forgeries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			paymentID := newID()
			b.handle(create(paymentID, "k", messages.CaptureManual), succeeded(), start())
			b.handle(create(newID(), "another", messages.CaptureManual), succeeded(), start())
			b.checkpoint()
			b.sample()
			b.checkpoint()
			b.wantClean()
			b.unprotect()
			for _, sql := range f.sql {
				if strings.Contains(sql, "$1") {
					b.exec(sql, paymentID.String())
				} else {
					b.exec(sql)
				}
			}
			report := b.check()
			for _, invariant := range f.want {
				if report.Violated[invariant] == 0 {
					t.Errorf("%s holds", invariant)
				}
			}
			if f.alone && len(report.Violated) > 1 {
				t.Errorf("found %+v, want the checkpoint only", report.Findings)
			}
			ofIt := func(found store.Finding) bool {
				known := found.PaymentID == paymentID || strings.Contains(name, "checkpoint")
				return slices.Contains(f.want, found.Invariant) && known && strings.Contains(found.Detail, f.says)
			}
			if !slices.ContainsFunc(report.Findings, ofIt) {
				t.Errorf("nobody says %q of payment %s, but: %+v", f.says, paymentID, report.Findings)
			}
		})
	}
}

func TestCheckpointNeedsAWorkingDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sample()
	mark, err := b.store.MarkCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.serving.Close()
	if _, err := b.store.MarkCheckpoint(t.Context()); err == nil {
		t.Error("a mark was made without a database")
	}
	if _, err := b.store.TakeCheckpoint(t.Context(), mark, time.Time{}); err == nil || errors.Is(err, store.ErrTooEarly) {
		t.Errorf("a checkpoint without a database: %v", err)
	}
}
