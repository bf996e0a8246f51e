package books_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// checkpoint takes one checkpoint of what there is, which has to be possible now.
func (b *bundle) checkpoint() messages.Checkpoint {
	b.Helper()
	mark, err := books.MarkCheckpoint(b.Context(), b.Serving)
	if err != nil || mark.IsZero() {
		b.Fatalf("the mark is zero: %v, %v", mark.IsZero(), err)
	}
	var taken messages.Checkpoint
	// Tests on other databases of the server have transactions, too.
	for taken, err = books.TakeCheckpoint(b.Context(), b.Serving, mark, start()); errors.Is(err, books.ErrTooEarly); {
		taken, err = books.TakeCheckpoint(b.Context(), b.Serving, mark, start())
	}
	if err != nil {
		b.Fatal(err)
	}
	return taken
}

func (b *bundle) recorded() []books.RecordedCheckpoint {
	b.Helper()
	var all []books.RecordedCheckpoint
	err := books.Checkpoints(b.Context(), b.Serving, 0, func(c books.RecordedCheckpoint) error {
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
	if mark, err := books.MarkCheckpoint(t.Context(), b.Serving); err != nil || !mark.IsZero() {
		t.Errorf("nothing is recorded, but the mark is %+v, %v", mark, err)
	}
	b.Sample()
	one := b.checkpoint()
	if one.Number != 1 || one.FromPosition != 0 || one.Payments != 3 || !one.PreviousHash.IsZero() ||
		int(one.Events) != b.Count(`SELECT count(*) FROM payment_events`) {
		t.Errorf("the first is %+v", one)
	}
	if mark, err := books.MarkCheckpoint(t.Context(), b.Serving); err != nil || !mark.IsZero() {
		t.Errorf("nothing is new, but the mark is %+v, %v", mark, err)
	}
	b.Sample()
	two := b.checkpoint()
	if two.Number != 2 || two.FromPosition != one.ToPosition || two.PreviousHash != one.Hash() || two.Root == one.Root {
		t.Errorf("the second is %+v", two)
	}
	want := []books.RecordedCheckpoint{{Checkpoint: one, Waiting: true}, {Checkpoint: two, Waiting: true}}
	if diff := cmp.Diff(want, b.recorded()); diff != "" {
		t.Errorf("-taken +recorded:\n%s", diff)
	}
	// Each is published with its row, under its own id and in order.
	if n := b.Count(`SELECT count(*) FROM outbox WHERE subject = 'payments.audit.checkpoint' AND ordering_key = 'checkpoints'
		AND payload = $1`, two.Body()); n != 1 {
		t.Errorf("the body of the second is in the outbox %d times", n)
	}
	report := b.Check()
	if !report.Clean() || report.Checkpoints != 2 {
		t.Errorf("%d checkpoints, found %+v", report.Checkpoints, report.Findings)
	}
}

// Rows are committed in another order than they get their positions.
func TestCheckpointWaitsForOpenTransactions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slow := first(create(newID(), "k1", ""))
	b.Commit(slow)
	// A second payment's events, written by hand and not committed yet.
	tx, err := b.Connect().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data)
		SELECT $1, version + 2, occurred_at, type, traceparent, data FROM payment_events WHERE payment_id = $1`, slow.Payment.ID.String()); err != nil {
		t.Fatal(err)
	}
	early, err := books.MarkCheckpoint(t.Context(), b.Serving)
	if err != nil {
		t.Fatal(err)
	}
	b.Commit(first(create(newID(), "k2", ""))) // at positions above
	mark, err := books.MarkCheckpoint(t.Context(), b.Serving)
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []books.CheckpointMark{early, mark} {
		if c, err := books.TakeCheckpoint(t.Context(), b.Serving, mark, start()); !errors.Is(err, books.ErrTooEarly) {
			t.Fatalf("taken over an open transaction: %+v, %v", c, err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		c, err := books.TakeCheckpoint(t.Context(), b.Serving, mark, start())
		if errors.Is(err, books.ErrTooEarly) {
			continue // because of other databases
		}
		if err != nil || c.Events != 6 {
			t.Errorf("%d events are covered, %v; want those of both transactions", c.Events, err)
		}
		break
	}
	if report := b.Check(); report.Violated[books.CheckpointsMatchHistory] != 0 {
		t.Errorf("found %+v", report.Findings)
	}
}

// Many may take checkpoints while payments go on; they make one series that covers every event
// once.
func TestSchedulersTakeOneSeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payments = 300
	var taking, paying sync.WaitGroup
	paid := make(chan struct{})
	for range 3 {
		taking.Go(func() {
			for done := false; !done; {
				select {
				case <-paid:
					done = true
				default:
				}
				mark, err := books.MarkCheckpoint(t.Context(), b.Serving)
				for err == nil && !mark.IsZero() {
					if _, err = books.TakeCheckpoint(t.Context(), b.Serving, mark, start()); err == nil {
						break
					}
					if errors.Is(err, books.ErrTooEarly) {
						err = nil
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	paying.Go(func() { b.CommitMany(payments) })
	paying.Wait()
	close(paid)
	taking.Wait()
	if mark, err := books.MarkCheckpoint(t.Context(), b.Serving); err != nil {
		t.Error(err)
	} else if !mark.IsZero() {
		b.checkpoint()
	}
	var events int64
	for _, c := range b.recorded() {
		events += c.Events
	}
	if all := b.Count(`SELECT count(*) FROM payment_events`); int(events) != all {
		t.Errorf("the checkpoints cover %d events of %d", events, all)
	}
	b.WantClean()
}

// What was rolled back is spanned, and what is too much for one checkpoint makes several.
func TestCheckpointsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(`SELECT setval('payment_events_position', 250000)`)
	b.Sample()
	b.Exec(`SELECT setval('payment_events_position', 400000)`)
	b.Sample()
	one, two := b.checkpoint(), b.checkpoint()
	if one.FromPosition != 0 || one.ToPosition != 300_000 || two.FromPosition != 300_000 || two.ToPosition < 400_000 {
		t.Errorf("the first covers %d to %d, the second %d to %d", one.FromPosition, one.ToPosition, two.FromPosition, two.ToPosition)
	}
	b.WantClean()
}

// forge is a way of editing the books as the superuser, and where that must be noticed.
type forge struct {
	sql  []string // $1 is the payment
	want []books.Invariant
	says string
	// alone says that nothing else may notice: the forgery is complete but for the checkpoint.
	alone bool
}

const (
	// rechain recomputes the hashes from version 2 on and the one in the state, as who understands
	// the chain would.
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
	chain, covered := books.HashChain, books.CheckpointsMatchHistory
	return map[string]forge{
		"a body, and the state to match": {[]string{editEvent, editState}, []books.Invariant{chain}, "event 2 does not follow", false},
		"a traceparent":                  {[]string{`UPDATE payment_events SET traceparent = '' WHERE payment_id = $1 AND version = 2`}, []books.Invariant{chain}, "event 3 does not follow", false},
		"the last event":                 {[]string{`UPDATE payment_events SET data = replace(data::text, 'ch_1', 'ch_2')::json WHERE payment_id = $1 AND version = 3`}, []books.Invariant{chain, covered}, "event 3 is not the last", false},
		"two events swapped": {[]string{
			`UPDATE payment_events SET version = 9 - version, data = replace(data::text, '"version":' || version, '"version":' || 5 - version)::json WHERE payment_id = $1 AND version IN (2, 3)`,
			`UPDATE payment_events SET version = version - 4 WHERE payment_id = $1 AND version > 3`,
		}, []books.Invariant{chain, covered}, "event 2 does not follow", false},
		"an event removed from the middle": {[]string{`DELETE FROM payment_events WHERE payment_id = $1 AND version = 2`}, []books.Invariant{chain, covered}, "event 3 does not follow what is there as event 1", false},
		"the last event removed":           {[]string{`DELETE FROM payment_events WHERE payment_id = $1 AND version = 3`}, []books.Invariant{chain, covered}, "events 1 to 2", false},
		"a whole payment removed":          {[]string{`DELETE FROM payment_events WHERE payment_id = $1`, removeRest, `DELETE FROM timers WHERE payment_id = $1`, `DELETE FROM commands WHERE payment_id = $1`, `DELETE FROM outbox WHERE ordering_key = $1::text`}, []books.Invariant{covered}, "events 1 to 3", true},
		"an event inserted": {[]string{`INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data, position)
			SELECT payment_id, 4, occurred_at, type, traceparent, replace(data::text, '"version":3', '"version":4')::json, position FROM payment_events WHERE payment_id = $1 AND version = 3`}, []books.Invariant{chain, covered}, "event 4 does not follow", false},
		"a payment inserted below the checkpoint": {[]string{`INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data, position)
			SELECT '019a0000-0000-7000-8000-000000000000', 1, occurred_at, type, traceparent, data, position FROM payment_events WHERE payment_id = $1 AND version = 1`}, []books.Invariant{covered}, "were not there when checkpoint 1 was taken", false},
		"the whole chain computed anew":         {[]string{editEvent, editState, `DELETE FROM outbox`, rechain}, []books.Invariant{covered}, "events 1 to 3", true},
		"an event moved beyond the checkpoint":  {[]string{`UPDATE payment_events SET position = position + 1000 WHERE payment_id = $1 AND version = 3`}, []books.Invariant{covered}, "events 1 to 2", false},
		"a checkpoint's root":                   {[]string{`UPDATE checkpoints SET root = sha256(root)`}, []books.Invariant{covered}, "its leaves do not give its root", false},
		"a checkpoint's leaves":                 {[]string{`UPDATE checkpoints SET leaves = substr(leaves, 1, octet_length(leaves) - 1) || '\x00'::bytea`}, []books.Invariant{covered}, "checkpoint 1", false},
		"a checkpoint's count":                  {[]string{`UPDATE checkpoints SET events = events + 1`}, []books.Invariant{covered}, "are there", false},
		"a checkpoint removed":                  {[]string{`DELETE FROM checkpoints WHERE number = 1`}, []books.Invariant{covered}, "checkpoint 2 follows checkpoint 0", false},
		"a checkpoint exchanged, with its root": {[]string{`UPDATE checkpoints SET created_at = created_at + interval '1 s' WHERE number = 1`}, []books.Invariant{covered}, "checkpoint 2 does not follow", false},
	}
}

// Every change of the books past all guards is found, by name and at its payment.
func TestForgeryIsFound(t *testing.T) {
	t.Parallel()
	for name, f := range forgeries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			paymentID := newID()
			b.Handle(create(paymentID, "k", messages.CaptureManual), succeeded(), start())
			b.Handle(create(newID(), "another", messages.CaptureManual), succeeded(), start())
			b.checkpoint()
			b.Sample()
			b.checkpoint()
			b.WantClean()
			b.Unprotect()
			for _, sql := range f.sql {
				if strings.Contains(sql, "$1") {
					b.Exec(sql, paymentID.String())
				} else {
					b.Exec(sql)
				}
			}
			report := b.Check()
			for _, invariant := range f.want {
				if report.Violated[invariant] == 0 {
					t.Errorf("%s holds", invariant)
				}
			}
			if f.alone && len(report.Violated) > 1 {
				t.Errorf("found %+v, want the checkpoint only", report.Findings)
			}
			ofIt := func(found books.Finding) bool {
				known := found.PaymentID == paymentID || strings.Contains(name, "checkpoint")
				return slices.Contains(f.want, found.Invariant) && known && strings.Contains(found.Detail, f.says)
			}
			if !slices.ContainsFunc(report.Findings, ofIt) {
				t.Errorf("no finding says %q of payment %s, but: %+v", f.says, paymentID, report.Findings)
			}
		})
	}
}

func TestCheckpointNeedsAWorkingDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Sample()
	mark, err := books.MarkCheckpoint(t.Context(), b.Serving)
	if err != nil {
		t.Fatal(err)
	}
	b.Serving.Close()
	if _, err := books.MarkCheckpoint(t.Context(), b.Serving); err == nil {
		t.Error("a mark was made without a database")
	}
	if _, err := books.TakeCheckpoint(t.Context(), b.Serving, mark, time.Time{}); err == nil || errors.Is(err, books.ErrTooEarly) {
		t.Errorf("a checkpoint without a database: %v", err)
	}
}

// A checkpoint reads what is new, not what there is, though the statement was planned when the
// table was empty.
func TestCheckpointReadsByPosition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn := b.Connect()
	all := storetest.Queries(t)
	if _, err := conn.Exec(t.Context(), `PREPARE checkpoint_leaves AS `+all["checkpoint_leaves"]); err != nil {
		t.Fatal(err)
	}
	plan := storetest.Explain(t, conn, `SELECT set_config('plan_cache_mode', 'force_generic_plan', true) FROM (`+
		strings.TrimSpace(all["checkpoint_settings"])+`) s`, "checkpoint_leaves", `1, 2, '{1}'`)
	if strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "position_idx") {
		t.Errorf("the plan is:\n%s", plan)
	}
}

// The check of one payment, or of a range, opens the partitions that these can be in, though the
// statement was planned for any.
func TestCheckReadsOnePartition(t *testing.T) {
	t.Parallel()
	paymentID := newID().String()
	storetest.WantOnePartition(t, setup(t).Connect(), "check_events", `'`+paymentID+`', '`+paymentID+`'`)
}

func TestEveryQueryPreparesOnTheMigratedSchema(t *testing.T) {
	t.Parallel()
	storetest.PrepareAll(t, setup(t).Connect(), 30)
}
