package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func TestEveryQueryPreparesOnTheMigratedSchema(t *testing.T) {
	t.Parallel()
	storetest.PrepareAll(t, setup(t).Connect(), 20)
}

func TestInstancesMigrateTogether(t *testing.T) {
	t.Parallel()
	url := servers.Database(t)
	const instances = 8
	applied := make([][]store.Applied, instances)
	var starting sync.WaitGroup
	for i := range instances {
		pool := newPool(t, url)
		starting.Go(func() {
			var err error
			if applied[i], err = store.Migrate(t.Context(), pool, nil); err != nil {
				t.Errorf("instance %d: %v", i, err)
			}
			if err := store.CheckSchema(t.Context(), pool); err != nil {
				t.Errorf("instance %d: %v", i, err)
			}
		})
	}
	starting.Wait()
	needed, err := store.NeededSchemaVersion()
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, a := range applied {
		runs += len(a)
	}
	if int64(runs) != needed {
		t.Errorf("%d migrations were run by all together, want %d", runs, needed)
	}
}

func TestMigrateSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	pool := newPool(t, servers.Database(t))
	var schema *store.SchemaError
	if err := store.CheckSchema(t.Context(), pool); !errors.As(err, &schema) || schema.Version != 0 {
		t.Errorf("an empty database: %v, want a SchemaError", err)
	}
	var told []store.Applied
	applied, err := store.Migrate(t.Context(), pool, func(a store.Applied) { told = append(told, a) })
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != len(applied) || applied[0].Name != "00001_payments.sql" || applied[1].Name != "outbox" {
		t.Errorf("applied %+v, told %+v", applied, told)
	}
	if again, err := store.Migrate(t.Context(), pool, nil); err != nil || len(again) != 0 {
		t.Errorf("a second time: %+v, %v; want nothing to do", again, err)
	}
}

func TestOlderSchemaIsRefusedAndNewerTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	needed, err := store.NeededSchemaVersion()
	if err != nil {
		t.Fatal(err)
	}
	b.Exec(`INSERT INTO schema_migrations (version_id, is_applied) VALUES ($1, true)`, needed+5)
	if err := store.CheckSchema(t.Context(), b.Serving); err != nil {
		t.Errorf("a newer schema: %v", err)
	}
	if applied, err := store.Migrate(t.Context(), b.Pool, nil); err != nil || len(applied) != 0 {
		t.Errorf("migrating a newer schema: %+v, %v", applied, err)
	}
	b.Exec(`DELETE FROM schema_migrations WHERE version_id >= $1`, needed)
	var schema *store.SchemaError
	if err := store.CheckSchema(t.Context(), b.Serving); !errors.As(err, &schema) || schema.Version != needed-1 || schema.Needed != needed {
		t.Errorf("an older schema: %v", err)
	}
}

func TestServingRoleCannotRewriteHistory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Commit(first(create(newID(), "k1", "")))
	if err := store.GrantServing(t.Context(), b.Pool, servingRole); err != nil {
		t.Fatalf("granting again: %v", err)
	}
	for _, sql := range []string{
		`UPDATE payment_events SET type = type`,
		`DELETE FROM payment_events`,
		`TRUNCATE payment_events`,
		`DELETE FROM payments`,
		`TRUNCATE payments`,
		`UPDATE commands SET outcome = outcome`,
		`DELETE FROM commands`,
		`ALTER TABLE payment_events DISABLE TRIGGER append_only`,
		`INSERT INTO payment_events_default SELECT * FROM payment_events`,
		`DELETE FROM payment_events_default`,
		`SELECT setval('payment_events_position', 1)`,
		`DROP TABLE payment_events`,
		`CREATE TABLE mine (x int)`,
		`UPDATE schema_migrations SET is_applied = false`,
	} {
		_, err := b.Serving.Exec(t.Context(), sql)
		wantCode(t, sql, err, "42501") // insufficient_privilege
	}
}

func TestNobodyRewritesHistoryByMistake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := first(create(newID(), "k1", ""))
	b.Commit(c)
	partition := b.partitionOf(c.Payment.ID)
	for _, sql := range []string{
		`UPDATE payment_events SET type = type`, `DELETE FROM payment_events WHERE version = 1`, `TRUNCATE payment_events`,
		// By the name of a partition, too.
		`UPDATE ` + partition + ` SET type = type`, `DELETE FROM ` + partition, `TRUNCATE ` + partition,
		`TRUNCATE payment_events_default`, `TRUNCATE payment_events_early`, `TRUNCATE payment_events_random_3`,
	} {
		_, err := b.Pool.Exec(t.Context(), sql)
		wantCode(t, sql, err, "23001") // restrict_violation
	}
}

func wantCode(t *testing.T, sql string, err error, code string) {
	t.Helper()
	refused := (*pgconn.PgError)(nil)
	if !errors.As(err, &refused) || refused.Code != code {
		t.Errorf("%s: %v, want SQLSTATE %s", sql, err, code)
	}
}

// The statements of the pipeline must find their rows through an index under any statistics: they
// are planned while the tables are empty, and used when they are not.
func TestPipelineNeverReadsWholeTables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(`VACUUM ANALYZE`)
	conn := b.Connect()
	all := storetest.Queries(t)
	for name, arguments := range map[string]string{
		"load":              `'{` + newID().String() + `}', '{acme}', '{create}', '{k}', '{""}'`,
		"delete_timers":     `'{` + newID().String() + `}'`,
		"fire_timers":       `now(), 100`,
		"next_timer":        ``,
		"clear_stale":       `now()`,
		"sweep_stale":       `now(), now(), 100`,
		"timers_fired":      `now(), interval '30 s', '{` + newID().String() + `}', '{due}', '{1}', '{1}'`,
		"published_resumes": `now(), 100`,
		"bound_resumes":     `1, '{` + newID().String() + `}', '{due}', '{1}', '{1}'`,
		"resume_bounds":     ``,
		"handled_resumes":   `1, 1, 1, 100`,
		"unpark":            `'sim', now(), interval '3 s', 100`,
	} {
		if _, err := conn.Exec(t.Context(), `PREPARE `+name+` AS `+all[name]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		plan := storetest.Explain(t, conn, all["settings"], name, arguments)
		for _, bad := range []string{"Seq Scan", "Merge Join", "Hash Join", "Hash Left Join"} {
			if strings.Contains(plan, bad) {
				t.Errorf("%s has a %s:\n%s", name, bad, plan)
			}
		}
	}
}
