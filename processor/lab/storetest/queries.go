package storetest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Queries returns the statements in the directory queries of the package under test, by the names
// of their files.
func Queries(t *testing.T) map[string]string {
	t.Helper()
	files, err := os.ReadDir("queries")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string, len(files))
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("queries", file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(file.Name(), ".sql")] = string(text)
	}
	return found
}

// PrepareAll prepares the statements in the directory queries of the package under test, of which
// there are at least least, on the migrated schema.
func PrepareAll(t *testing.T, conn *pgx.Conn, least int) {
	t.Helper()
	all := Queries(t)
	if len(all) < least {
		t.Fatalf("only %d queries found", len(all))
	}
	for name, sql := range all {
		if _, err := conn.Prepare(t.Context(), name, sql); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Explain returns the plan of a prepared statement, called with arguments as SQL has them, in a
// transaction that begins with settings.
func Explain(t *testing.T, conn *pgx.Conn, settings, name, arguments string) (plan string) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), settings); err != nil {
			return err
		}
		call := name
		if arguments != "" {
			call += `(` + arguments + `)`
		}
		return collectLines(t.Context(), tx, `EXPLAIN EXECUTE `+call, &plan)
	})
	if err != nil {
		t.Fatalf("explain %s: %v", name, err)
	}
	return plan
}

// WantOnePartition fails the test unless the plan of a query, which is made for any arguments,
// opens one partition of payment_events for these.
func WantOnePartition(t *testing.T, conn *pgx.Conn, name, arguments string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), `PREPARE `+name+` AS `+Queries(t)[name]); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	plan := Explain(t, conn, `SELECT set_config('plan_cache_mode', 'force_generic_plan', true)`, name, arguments)
	// Each partition that is opened has an alias of its own.
	if scans := strings.Count(plan, " e_"); scans != 1 || !strings.Contains(plan, "Subplans Removed") {
		t.Errorf("%s reads %d partitions:\n%s", name, scans, plan)
	}
}

func collectLines(ctx context.Context, tx pgx.Tx, sql string, text *string) error {
	rows, err := tx.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	*text = strings.Join(lines, "\n")
	return err
}
