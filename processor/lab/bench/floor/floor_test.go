package floor_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/bench/floor"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// bothChanges are those of a create and of its gateway's answer.
func bothChanges(paymentID uuid.UUID, method messages.CaptureMethod) floor.Payment {
	cmd := storetest.Create(paymentID, paymentID.String(), method)
	d := payment.Decide(&payment.Payment{}, cmd, storetest.Env(storetest.Start()))
	settled := payment.Settle(d.Payment, cmd, *d.Call, storetest.Succeeded(), storetest.Env(storetest.Start()))
	return floor.Payment{storetest.Change(&payment.Payment{}, d, storetest.ClaimOf(cmd, d)), storetest.Change(d.Payment, settled, nil)}
}

// TestFloorWritesWhatCommitWrites holds the floor of the benchmark to the real thing: row for row
// and byte for byte.
func TestFloorWritesWhatCommitWrites(t *testing.T) {
	t.Parallel()
	committed, written := storetest.Setup(t), storetest.Setup(t)
	ids := []uuid.UUID{storetest.NewID(), storetest.NewID(), storetest.NewID(), storetest.NewID(), storetest.NewID()}
	methods := []messages.CaptureMethod{"", messages.CaptureManual} // with a timer and without
	var payments []floor.Payment
	for i, id := range ids {
		for c, changed := range bothChanges(id, methods[i%2]) {
			if c > 0 {
				changed.PreviousHash = messages.Hash{} // is looked up
			}
			committed.Commit(changed)
		}
		payments = append(payments, bothChanges(id, methods[i%2]))
	}
	batches, err := floor.Encode(payments, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := batches.Write(t.Context(), written.Serving, 2); err != nil {
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
		if diff := cmp.Diff(texts(committed, query), texts(written, query)); diff != "" {
			t.Errorf("%s (-commit +floor):\n%s", query, diff)
		}
	}
	if n := written.Count(`SELECT count(*) FROM outbox`); n != 0 {
		t.Errorf("the floor leaves %d rows in the outbox", n)
	}
	written.WantClean()
}

// texts are the rows of a query of one column.
func texts(b *storetest.Bundle, sql string) []string {
	b.Helper()
	rows, err := b.Pool.Query(b.Context(), sql)
	if err != nil {
		b.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return found
}

func TestEveryQueryPreparesOnTheMigratedSchema(t *testing.T) {
	t.Parallel()
	storetest.PrepareAll(t, storetest.Setup(t).Connect(), 6)
}
