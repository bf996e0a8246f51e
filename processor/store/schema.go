package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is a database as functions need it that use no queue, here and in package books: a
// *pgxpool.Pool or a *pgx.Conn.
type DB interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Pool is a pool of connections, for callers that may not import the driver. Functions take it when
// one connection is not enough.
type Pool = pgxpool.Pool

// SchemaError says that the database's schema is older than this build needs.
type SchemaError struct{ Version, Needed int64 }

// Error implements error.
func (e *SchemaError) Error() string {
	if e.Version == 0 {
		return fmt.Sprintf("the database has no schema yet, this build needs version %d: run tender migrate", e.Needed)
	}
	return fmt.Sprintf("the database's schema is at version %d, this build needs %d: run tender migrate", e.Version, e.Needed)
}

// NeededSchemaVersion is the version of the schema that this build was made for.
func NeededSchemaVersion() (int64, error) {
	needed := int64(outboxVersion)
	files, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	for _, file := range files {
		var version int64
		if _, err := fmt.Sscanf(file.Name(), "%d_", &version); err != nil {
			return 0, fmt.Errorf("read version of migration %s: %w", file.Name(), err)
		}
		needed = max(needed, version)
	}
	return needed, nil
}

// SchemaVersion returns the version of the database's schema, 0 if it has none.
func SchemaVersion(ctx context.Context, db DB) (int64, error) {
	var exists bool
	if err := db.QueryRow(ctx, schemaExistsSQL).Scan(&exists); err != nil {
		return 0, fmt.Errorf("look for schema: %w", err)
	}
	if !exists {
		return 0, nil
	}
	var version int64
	if err := db.QueryRow(ctx, schemaVersionSQL).Scan(&version); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return version, nil
}

// CheckSchema returns a *SchemaError if the schema is older than this build needs. A newer one is
// fine: migrations are additive, so that the previous build runs on the next schema.
func CheckSchema(ctx context.Context, db DB) error {
	needed, err := NeededSchemaVersion()
	if err != nil {
		return err
	}
	version, err := SchemaVersion(ctx, db)
	if err != nil {
		return err
	}
	if version < needed {
		return &SchemaError{Version: version, Needed: needed}
	}
	return nil
}
