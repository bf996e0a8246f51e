package store_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/processor/store"
)

func TestServerFacts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	facts, err := store.ReadServerFacts(t.Context(), b.Pool)
	if err != nil || facts.Backend <= 0 || facts.Version == "" || facts.Fsync != "off" {
		t.Errorf("%+v: %v", facts, err)
	}
}

func TestVacuum(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at) SELECT gen_random_uuid(), 'due', 'acme', now(), now() FROM generate_series(1, 100)`)
	if err := store.Vacuum(t.Context(), b.Pool); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(`SELECT reltuples::bigint FROM pg_class WHERE oid = 'timers'::regclass`); n != 100 {
		t.Errorf("%d rows are known of, want 100", n)
	}
}

func TestWALPositionRises(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before, err := store.WALPosition(t.Context(), b.Pool)
	if err != nil {
		t.Fatal(err)
	}
	b.Commit(first(create(newID(), "k", "")))
	if after, err := store.WALPosition(t.Context(), b.Pool); err != nil || after <= before {
		t.Errorf("%d, then %d: %v", before, after, err)
	}
}
