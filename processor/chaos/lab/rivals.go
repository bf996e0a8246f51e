package lab

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// lockBackwards locks a few payments that are being changed, the greatest id first, as no writer of Tender does. It reports
// whether PostgreSQL chose this session to end a deadlock.
func (l *Lab) lockBackwards(ctx context.Context) (lost bool, err error) {
	err = l.asOwner(ctx, func(s *session) error {
		return s.inTransaction(ctx, func() error {
			rows, err := s.conn.Query(ctx, `SELECT payment_id FROM payments ORDER BY updated_at DESC LIMIT 40`)
			if err != nil {
				return err
			}
			ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			if err != nil {
				return err
			}
			return s.lockEach(ctx, descending(ids))
		})
	})
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "40P01" { // deadlock_detected
		return true, nil
	}
	return false, err
}

func (s *session) lockEach(ctx context.Context, ids []uuid.UUID) error {
	for _, id := range ids {
		if err := s.exec(ctx, `SELECT FROM payments WHERE payment_id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		pause(ctx, pollInterval/4)
	}
	return nil
}
