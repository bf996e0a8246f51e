package store

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// olderSchema is the schema before the history was partitioned, with three payments' events in it
// and a role that serves.
func olderSchema(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	db := stdlib.OpenDBFromPool(pool)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	provider, err := newProvider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`DO $$ BEGIN CREATE ROLE tender_older_test LOGIN PASSWORD 'serve'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
		`GRANT SELECT, INSERT ON payment_events TO tender_older_test`,
		`GRANT SELECT ON payment_events TO PUBLIC`,
		`INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data)
			SELECT p.id::uuid, v, now(), 'payment.captured', 'tp', ('{"a":' || v || ',  "b": "é"}')::json
			FROM (VALUES ('01980000-0000-7000-8000-000000000001'), ('01700000-0000-7000-8000-000000000001'),
				('c0ffee00-0000-4000-8000-000000000001')) AS p (id), generate_series(1, 500) AS v`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

const digestOfEvents = `SELECT md5(string_agg(e::text, '|' ORDER BY e.payment_id, e.version))
	FROM (SELECT payment_id, version, occurred_at, type, traceparent, data::text FROM payment_events) e`

// What was recorded is taken over byte for byte, and the previous version goes on recording, on the
// connection and with the statement that it had before.
func TestHistoryOfAnOlderVersionIsTakenOver(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), servers.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	olderSchema(t, pool)
	before := one[string](t, pool, digestOfEvents)

	// A connection of the older version, with the statement prepared.
	as := pool.Config().ConnConfig.Copy()
	as.User, as.Password = "tender_older_test", "serve"
	older, err := pgx.ConnectConfig(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := older.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	write := func(version int) {
		t.Helper()
		_, err := older.Exec(t.Context(), writeEventsSQL, []string{"01980000-0000-7000-8000-000000000001"}, []int{version},
			[]string{"2026-01-01"}, []string{"payment.voided"}, []string{""}, []string{"{}"})
		if err != nil {
			t.Fatalf("the older version records event %d: %v", version, err)
		}
	}
	write(501)
	before501 := one[string](t, pool, digestOfEvents)
	if before501 == before {
		t.Fatal("the digest does not see an event")
	}
	if _, err := Migrate(t.Context(), pool, nil); err != nil {
		t.Fatal(err)
	}
	if after := one[string](t, pool, digestOfEvents); after != before501 {
		t.Error("the history is not what it was")
	}
	for partition, want := range map[string]int{"2025q3": 501, "early": 500, "random": 500} {
		if got := one[int](t, pool, `SELECT count(*) FROM payment_events_`+partition); got != want {
			t.Errorf("%d events are in %s, want %d", got, partition, want)
		}
	}
	if got := one[int](t, pool, `SELECT count(DISTINCT position) FROM payment_events`); got != 1501 {
		t.Errorf("%d positions for 1501 events", got)
	}
	write(502)
	if !one[bool](t, pool, `SELECT has_table_privilege('tender_older_test', 'checkpoints', 'INSERT')
		AND NOT has_table_privilege('tender_older_test', 'checkpoints', 'UPDATE')
		AND NOT has_table_privilege('tender_older_test', 'payment_events_early', 'SELECT')`) {
		t.Error("the serving role has other rights than it needs")
	}
}

func one[T any](t *testing.T, pool *pgxpool.Pool, sql string) (value T) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}
