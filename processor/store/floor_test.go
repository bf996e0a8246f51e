package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// bothChanges are those of a create and of its gateway's answer.
func bothChanges(paymentID uuid.UUID, method messages.CaptureMethod) store.FloorPayment {
	cmd := create(paymentID, paymentID.String(), method)
	d := payment.Decide(&payment.Payment{}, cmd, env(start()))
	settled := payment.Settle(d.Payment, cmd, *d.Call, succeeded(), env(start()))
	return store.FloorPayment{change(&payment.Payment{}, d, claimOf(cmd, d)), change(d.Payment, settled, nil)}
}

// TestFloorWritesWhatCommitWrites holds the floor of the benchmark to the real thing: row for row and byte for byte.
func TestFloorWritesWhatCommitWrites(t *testing.T) {
	t.Parallel()
	committed, floor := setup(t), setup(t)
	ids := []uuid.UUID{newID(), newID(), newID(), newID(), newID()}
	methods := []messages.CaptureMethod{"", messages.CaptureManual} // with a timer and without
	var payments []store.FloorPayment
	for i, id := range ids {
		for c, changed := range bothChanges(id, methods[i%2]) {
			if c > 0 {
				changed.PreviousHash = messages.Hash{} // is looked up
			}
			committed.commit(changed)
		}
		payments = append(payments, bothChanges(id, methods[i%2]))
	}
	f, err := store.NewFloor(payments, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), floor.serving, 2); err != nil {
		t.Fatal(err)
	}
	appended := `SELECT last_value::text FROM outbox_id_seq`
	for _, query := range []string{
		`SELECT to_jsonb(p)::text || p.state::text FROM payments p ORDER BY p.payment_id`,
		`SELECT (to_jsonb(e) - 'position')::text || e.data::text FROM payment_events e ORDER BY e.payment_id, e.version`,
		`SELECT (to_jsonb(c) - 'created_at')::text FROM commands c ORDER BY c.payment_id`,
		`SELECT to_jsonb(w)::text FROM timers w ORDER BY w.payment_id`,
		appended,
	} {
		if diff := cmp.Diff(committed.texts(query), floor.texts(query)); diff != "" {
			t.Errorf("%s (-commit +floor):\n%s", query, diff)
		}
	}
	if n := floor.count(`SELECT count(*) FROM outbox`); n != 0 {
		t.Errorf("the floor leaves %d rows in the outbox", n)
	}
	floor.wantClean()
}

func TestServerFacts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	facts, err := store.ReadServerFacts(t.Context(), b.pool)
	if err != nil || facts.Backend <= 0 || facts.Version == "" || facts.Fsync != "off" {
		t.Errorf("%+v: %v", facts, err)
	}
}

func TestVacuum(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at) SELECT gen_random_uuid(), 'due', 'acme', now(), now() FROM generate_series(1, 100)`)
	if err := store.Vacuum(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT reltuples::bigint FROM pg_class WHERE oid = 'timers'::regclass`); n != 100 {
		t.Errorf("%d rows are known of, want 100", n)
	}
}

func TestWALPositionRises(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before, err := store.WALPosition(t.Context(), b.pool)
	if err != nil {
		t.Fatal(err)
	}
	b.commit(first(create(newID(), "k", "")))
	if after, err := store.WALPosition(t.Context(), b.pool); err != nil || after <= before {
		t.Errorf("%d, then %d: %v", before, after, err)
	}
}

// texts are the rows of a query of one column.
func (b *bundle) texts(sql string) []string {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), sql)
	if err != nil {
		b.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return found
}
