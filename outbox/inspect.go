package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Status is the state of an outbox at one moment, for operators.
type Status struct {
	Waiting   int64         // rows to publish, without those below
	Parked    int64         // rows that could not be published
	Behind    int64         // rows that wait behind a parked row of their key
	OldestAge time.Duration // of the oldest waiting row, by the clock of PostgreSQL; 0 if none waits
	Owners    []Owner       // by partition; a partition that is not listed has no relay
}

// Owner is the session that holds a partition.
type Owner struct {
	Partition   int
	PID         int       // of the PostgreSQL backend
	Application string    // application_name; empty if the asking role may not see it
	Address     string    // of the client; empty for a Unix socket, or if the asking role may not see it
	Since       time.Time // begin of the session; zero if the asking role may not see it
}

const statusSQL = `
SELECT count(*) FILTER (WHERE parked_at IS NULL AND NOT behind),
       count(*) FILTER (WHERE parked_at IS NOT NULL),
       count(*) FILTER (WHERE parked_at IS NULL AND behind),
       COALESCE(clock_timestamp() - min(created_at) FILTER (WHERE parked_at IS NULL AND NOT behind), '0')
FROM (
    SELECT w.parked_at, w.created_at, EXISTS (
        SELECT FROM outbox q
        WHERE q.ordering_key = w.ordering_key AND q.id < w.id AND q.parked_at IS NOT NULL) AS behind
    FROM outbox w
) w`

const ownersSQL = `
SELECT l.objid::int, l.pid::int, COALESCE(a.application_name, ''), COALESCE(host(a.client_addr), ''),
       COALESCE(a.backend_start, '0001-01-01 00:00:00Z')
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = 'outbox'::regclass::oid
ORDER BY l.objid`

// Inspect reads the state of the outbox. It counts the rows, so its cost grows with the backlog.
func Inspect(ctx context.Context, db DBTX) (Status, error) {
	var s Status
	rows, err := db.Query(ctx, statusSQL)
	if err != nil {
		return Status{}, fmt.Errorf("count outbox rows: %w", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&s.Waiting, &s.Parked, &s.Behind, &s.OldestAge}, func() error { return nil })
	if err != nil {
		return Status{}, fmt.Errorf("count outbox rows: %w", err)
	}
	rows, err = db.Query(ctx, ownersSQL)
	if err != nil {
		return Status{}, fmt.Errorf("read outbox owners: %w", err)
	}
	s.Owners, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Owner])
	if err != nil {
		return Status{}, fmt.Errorf("read outbox owners: %w", err)
	}
	return s, nil
}

// ParkedRow is a row that could not be published.
type ParkedRow struct {
	ID          int64  // of the row
	MessageID   string // of the message
	Subject     string
	OrderingKey string
	PayloadSize int // bytes
	CreatedAt   time.Time
	ParkedAt    time.Time
	Reason      string
	Behind      int64 // rows of the same key that wait behind it
}

const parkedSQL = `
SELECT q.id, q.message_id, q.subject, q.ordering_key, length(q.payload), q.created_at, q.parked_at, q.parked_reason,
       (SELECT count(*) FROM outbox w
        WHERE w.partition = q.partition AND w.ordering_key = q.ordering_key AND w.id > q.id AND w.parked_at IS NULL)
FROM outbox q
WHERE q.parked_at IS NOT NULL AND q.id > $1
ORDER BY q.id
LIMIT $2`

// Parked lists parked rows with ids above afterID, at most limit, oldest first. Their payloads are
// left out.
func Parked(ctx context.Context, db DBTX, afterID int64, limit int) ([]ParkedRow, error) {
	rows, err := db.Query(ctx, parkedSQL, afterID, limit)
	if err != nil {
		return nil, fmt.Errorf("list parked outbox rows: %w", err)
	}
	parked, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ParkedRow])
	if err != nil {
		return nil, fmt.Errorf("list parked outbox rows: %w", err)
	}
	return parked, nil
}

const unparkSQL = `
WITH unparked AS (
    UPDATE outbox SET parked_at = NULL, parked_reason = NULL
    WHERE ordering_key = $1 AND parked_at IS NOT NULL
    RETURNING id
)
SELECT count(*), pg_notify('` + channel + `', '') FROM unparked`

// Unpark lets the parked rows of a key, and those behind them, be published again, in order, and
// returns how many were parked; 0 if none was. A row that still cannot be published is parked
// again.
func Unpark(ctx context.Context, db DBTX, orderingKey string) (int64, error) {
	rows, err := db.Query(ctx, unparkSQL, orderingKey)
	if err != nil {
		return 0, fmt.Errorf("unpark outbox rows of %s: %w", orderingKey, err)
	}
	var n int64
	if _, err = pgx.ForEachRow(rows, []any{&n, nil}, func() error { return nil }); err != nil {
		return 0, fmt.Errorf("unpark outbox rows of %s: %w", orderingKey, err)
	}
	return n, nil
}

const unparkAllSQL = `
WITH unparked AS (
    UPDATE outbox SET parked_at = NULL, parked_reason = NULL
    WHERE parked_at IS NOT NULL AND strpos(parked_reason, $1) > 0
    RETURNING id
)
SELECT count(*), pg_notify('` + channel + `', '') FROM unparked`

// UnparkAll is Unpark for every key that is parked for a reason with a text in it; "" is any
// reason.
func UnparkAll(ctx context.Context, db DBTX, reason string) (int64, error) {
	rows, err := db.Query(ctx, unparkAllSQL, reason)
	if err != nil {
		return 0, fmt.Errorf("unpark outbox rows: %w", err)
	}
	var n int64
	if _, err = pgx.ForEachRow(rows, []any{&n, nil}, func() error { return nil }); err != nil {
		return 0, fmt.Errorf("unpark outbox rows: %w", err)
	}
	return n, nil
}

const backlogSQL = `
SELECT (SELECT count(*) FROM outbox WHERE parked_at IS NULL),
       EXISTS (SELECT FROM pg_locks l
               WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND l.classid = 'outbox'::regclass::oid)`

// Backlog is what Inspect tells, for those who ask often: how many rows are not parked, and whether
// any partition has a relay.
func Backlog(ctx context.Context, db DBTX) (rows int64, relayed bool, err error) {
	found, err := db.Query(ctx, backlogSQL)
	if err != nil {
		return 0, false, fmt.Errorf("count outbox rows: %w", err)
	}
	if _, err = pgx.ForEachRow(found, []any{&rows, &relayed}, func() error { return nil }); err != nil {
		return 0, false, fmt.Errorf("count outbox rows: %w", err)
	}
	return rows, relayed, nil
}
