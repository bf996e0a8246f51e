// Package storetest gives tests databases with the schema of the store, on the PostgreSQL server
// of package servers. Only tests may import it.
package storetest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// Database is [servers.Database] with the schema of this build. One migration for the server of
// the package is copied for each test, which takes a twentieth of the time.
func Database(t testing.TB) string {
	t.Helper()
	return servers.DatabaseWith(t, "schema", migrate)
}

func migrate(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = store.Migrate(ctx, pool, nil)
	return err
}
