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

// session is a connection of another user of the database, with the rights of the owner.
type session struct{ conn *pgx.Conn }

// asOwner opens a session without a proxy for the length of do.
func asOwner(ctx context.Context, r *Rig, do func(*session) error) error {
	conn, err := pgx.Connect(ctx, r.PostgresURL())
	if err != nil {
		return fmt.Errorf("open another session: %w", err)
	}
	return errors.Join(do(&session{conn}), conn.Close(ctx))
}

func (s *session) exec(ctx context.Context, sql string, arguments ...any) error {
	_, err := s.conn.Exec(ctx, sql, arguments...)
	return err
}

// count runs a query and returns the number of rows.
func (s *session) count(ctx context.Context, sql string) (int, error) {
	tag, err := s.conn.Exec(ctx, sql)
	return int(tag.RowsAffected()), err
}

func (s *session) inTransaction(ctx context.Context, do func() error) error {
	return pgx.BeginFunc(ctx, s.conn, func(pgx.Tx) error { return do() })
}

// deadlocks returns the number of deadlocks that PostgreSQL has ended in this database.
func (s *session) deadlocks(ctx context.Context) (n int, err error) {
	err = s.conn.QueryRow(ctx, `SELECT pg_stat_get_db_deadlocks(oid) FROM pg_database WHERE datname = current_database()`).Scan(&n)
	return n, err
}

// lockBackwards locks the greater half of the payments that wait for a gateway. It blocks all
// writers until their changes have gathered, lets them continue, and locks the smaller half once a
// writer waits for the greater. PostgreSQL may end either side.
func lockBackwards(ctx context.Context, r *Rig) error {
	const gather = 700 * time.Millisecond
	err := asOwner(ctx, r, func(s *session) error {
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
			// A rollback to the savepoint releases the table lock.
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

// awaiting lists the payments that wait for a gateway, in the order of their ids.
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

// awaitBlocked waits for up to a second until another session waits for this one.
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

// relayAtWork returns the member that owns the outbox. A member has the name of its sessions.
func relayAtWork(ctx context.Context, r *Rig) (*Member, error) {
	var name string
	err := asOwner(ctx, r, func(s *session) error {
		return s.conn.QueryRow(ctx, `
			SELECT a.application_name FROM pg_locks k JOIN pg_stat_activity a ON a.pid = k.pid
			WHERE k.locktype = 'advisory' AND k.granted AND k.classid = 'outbox'::regclass::oid
			ORDER BY k.objid LIMIT 1`).Scan(&name)
	})
	if err != nil {
		return nil, fmt.Errorf("find the relay at work: %w", err)
	}
	for _, m := range r.members {
		if m.Name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("the relay at work is %q, which is none of the members", name)
}
