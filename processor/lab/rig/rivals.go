package rig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

// session is another user of the same database, with the rights of its owner.
type session struct{ conn *pgx.Conn }

// asOwner lends a session without a proxy.
func (l *Lab) asOwner(ctx context.Context, do func(*session) error) error {
	conn, err := pgx.Connect(ctx, l.PostgresURL())
	if err != nil {
		return fmt.Errorf("open another session: %w", err)
	}
	return errors.Join(do(&session{conn}), conn.Close(ctx))
}

func (s *session) exec(ctx context.Context, sql string, arguments ...any) error {
	_, err := s.conn.Exec(ctx, sql, arguments...)
	return err
}

// count runs a query and counts the rows.
func (s *session) count(ctx context.Context, sql string) (int, error) {
	tag, err := s.conn.Exec(ctx, sql)
	return int(tag.RowsAffected()), err
}

func (s *session) inTransaction(ctx context.Context, do func() error) error {
	return pgx.BeginFunc(ctx, s.conn, func(pgx.Tx) error { return do() })
}

// deadlocks is how many PostgreSQL has ended in this database.
func (s *session) deadlocks(ctx context.Context) (n int, err error) {
	err = s.conn.QueryRow(ctx, `SELECT pg_stat_get_db_deadlocks(oid) FROM pg_database WHERE datname = current_database()`).Scan(&n)
	return n, err
}

// lockBackwards takes the greater half of the payments that are waiting for a gateway, holds all writers up until their
// changes have gathered, lets them go, and takes the smaller half when one of them waits for the greater. Either side may be the one
// that PostgreSQL sends away.
func (l *Lab) lockBackwards(ctx context.Context) error {
	const gather = 700 * time.Millisecond
	err := l.asOwner(ctx, func(s *session) error {
		return s.inTransaction(ctx, func() error {
			ids, err := s.awaiting(ctx)
			if err != nil || len(ids) < 2 {
				retry.Sleep(ctx, gather)
				return err
			}
			lesser, greater := ids[:len(ids)/2], ids[len(ids)/2:]
			if err := s.lock(ctx, greater); err != nil {
				return err
			}
			// What is locked after a savepoint is let go with it.
			if err := errors.Join(s.exec(ctx, `SAVEPOINT gather`), s.exec(ctx, `LOCK TABLE payments IN EXCLUSIVE MODE`)); err != nil {
				return err
			}
			retry.Sleep(ctx, gather)
			if err := s.exec(ctx, `ROLLBACK TO SAVEPOINT gather`); err != nil {
				return err
			}
			if err := s.awaitBlocked(ctx); err != nil {
				return err
			}
			return s.lock(ctx, lesser)
		})
	})
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "40P01" { // deadlock_detected
		return nil
	}
	return err
}

// awaiting are the payments that wait for a gateway, in the order of their ids.
func (s *session) awaiting(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := s.conn.Query(ctx, `SELECT payment_id FROM payments WHERE awaiting_since IS NOT NULL ORDER BY payment_id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

func (s *session) lock(ctx context.Context, ids []uuid.UUID) error {
	return s.exec(ctx, `SELECT FROM payments WHERE payment_id = ANY ($1) ORDER BY payment_id DESC FOR UPDATE`, ids)
}

// awaitBlocked waits for a moment until somebody waits for this session.
func (s *session) awaitBlocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for ctx.Err() == nil {
		var blocked bool
		err := s.conn.QueryRow(context.WithoutCancel(ctx),
			`SELECT EXISTS (SELECT FROM pg_locks k WHERE NOT k.granted AND pg_backend_pid() = ANY (pg_blocking_pids(k.pid)))`).Scan(&blocked)
		if err != nil || blocked {
			return err
		}
		retry.Sleep(ctx, pollInterval)
	}
	return nil
}
