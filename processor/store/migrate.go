package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/seed-384b1f8a/tender/outbox"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	migrationsTable = "schema_migrations"
	// migrationLock is the advisory lock that keeps instances from migrating at the same time:
	// "tendr" in ASCII.
	migrationLock int64 = 0x74656e6472
	// migrationLockPoll is how often a waiting instance looks. It doesn't wait inside PostgreSQL: a
	// statement that waits holds a snapshot, and a migration that creates an index concurrently
	// would wait for that in turn.
	migrationLockPoll = 100 * time.Millisecond
)

// Applied is one migration that was run.
type Applied struct {
	Version  int64
	Name     string
	Duration time.Duration
}

// Migrate brings the schema up to what this build needs, one transaction for each migration, and
// returns what it did: nothing if the schema is up to date or newer. Each time it also makes the
// partitions that events will soon need. It is forward only. Several instances may call it at once;
// they take turns. progress is called after each migration and may be nil. The pool's role has to
// own the schema, and the pool has to allow two connections.
func Migrate(ctx context.Context, pool *pgxpool.Pool, progress func(Applied)) (applied []Applied, err error) {
	db := stdlib.OpenDBFromPool(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := newProvider(db)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	lock, err := acquireMigrationLock(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("wait for other migrations: %w", err)
	}
	defer func() { err = errors.Join(err, lock.release(ctx)) }()
	for {
		result, err := provider.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			_, err = EnsurePartitions(ctx, pool, time.Time{})
			return applied, err
		}
		if err != nil {
			return applied, fmt.Errorf("migrate: %w", err)
		}
		a := Applied{Version: result.Source.Version, Name: sourceName(result.Source), Duration: result.Duration}
		applied = append(applied, a)
		if progress != nil {
			progress(a)
		}
	}
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithDisableGlobalRegistry(true),
		goose.WithTableName(migrationsTable),
		goose.WithGoMigrations(goMigrations()...))
}

// outboxVersion is the migration that lets the outbox create its tables.
const outboxVersion = 2

func goMigrations() []*goose.Migration {
	return []*goose.Migration{
		goose.NewGoMigration(outboxVersion, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, outbox.SchemaV1())
			return err
		}}, nil),
	}
}

func sourceName(s *goose.Source) string {
	if s.Type == goose.TypeGo {
		return "outbox"
	}
	return path.Base(s.Path)
}

// migrationLock is a session's advisory lock, so that it ends with the session in any case.
type heldLock struct{ conn *pgxpool.Conn }

func acquireMigrationLock(ctx context.Context, pool *pgxpool.Pool) (*heldLock, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	poll := time.NewTicker(migrationLockPoll)
	defer poll.Stop()
	for {
		var acquired bool
		if err := conn.QueryRow(ctx, tryLockSQL, migrationLock).Scan(&acquired); err != nil {
			conn.Release()
			return nil, err
		}
		if acquired {
			return &heldLock{conn}, nil
		}
		select {
		case <-ctx.Done():
			conn.Release()
			return nil, ctx.Err()
		case <-poll.C:
		}
	}
}

// release closes the session, and with it the lock, if it can't be unlocked.
func (l *heldLock) release(ctx context.Context) error {
	defer l.conn.Release()
	if _, err := l.conn.Exec(ctx, unlockSQL, migrationLock); err != nil {
		return l.conn.Conn().Close(context.WithoutCancel(ctx))
	}
	return nil
}

// quartersAhead is the number of quarters after the current one for which partitions are made: an
// operator who migrates once in two years is in time. The events of a later quarter go into the
// default partition.
const quartersAhead = 8

// EnsurePartitions makes the partitions of payment_events for the quarter that now lies in and the
// eight after it, and returns how many it made. Zero means the time of the database. It may be
// repeated, which is quick, but not called concurrently: Migrate calls it while others wait. The
// role has to own the schema.
func EnsurePartitions(ctx context.Context, db DB, now time.Time) (made int, err error) {
	if err := db.QueryRow(ctx, ensurePartitionsSQL, instant(now), quartersAhead).Scan(&made); err != nil {
		return 0, fmt.Errorf("make partitions of payment_events: %w", err)
	}
	return made, nil
}
