package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// row is one message as stored.
type row struct {
	partition int16
	id        int64
	Message
	headerSize int    // of the stored form, which is never less than the header's size on the wire
	problem    string // why no broker would take it; empty if it may be published
}

// refusal is a row that cannot be published, and why.
type refusal struct {
	row    row
	reason string
}

// outcome is the result of a batch, to be recorded: published rows are deleted, refused ones
// parked.
type outcome struct {
	published []row
	refused   []refusal
}

func (o outcome) empty() bool { return len(o.published) == 0 && len(o.refused) == 0 }

// reading is the next read: at most limit rows of each partition, none when there are no
// partitions; with idsOnly only the place of a row. drowsy asks the writers for notifications.
type reading struct {
	partitions []int16
	limit      int
	idsOnly    bool
	drowsy     bool
}

const (
	// exchangeTimeout bounds one exchange with PostgreSQL.
	exchangeTimeout = 30 * time.Second
	// finishTimeout bounds the last one of a lane that was told to drop its work.
	finishTimeout = 2 * time.Second
)

const (
	// settingsSQL sets, for the transaction of one exchange: not to wait for the disk at the end,
	// since what a crash of PostgreSQL undoes is only the note that rows were published, and they
	// are published again under the same ids; and to walk the index against the statistics. A table
	// that is empty one moment and holds a backlog the next has no statistics worth the name, and
	// the plan they suggest sorts the whole backlog for each batch.
	settingsSQL = `
SELECT set_config('synchronous_commit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('jit', 'off', true)`

	deleteSQL = `
DELETE FROM outbox o
USING unnest($1::smallint[], $2::bigint[]) AS d(partition, id)
WHERE o.partition = d.partition AND o.id = d.id`

	parkSQL = `
UPDATE outbox o SET parked_at = now(), parked_reason = d.reason
FROM unnest($1::smallint[], $2::bigint[], $3::text[]) AS d(partition, id, reason)
WHERE o.partition = d.partition AND o.id = d.id`

	drowsySQL = `
UPDATE outbox_partition SET asleep = $2 WHERE partition = ANY($1::smallint[]) AND asleep <> $2`

	// readSQL takes the oldest rows of each partition, also if it read later ones before: a row
	// with a lower id may be committed after one with a higher id, so there is no point up to which
	// everything was seen. Rows behind a parked row of their key stay.
	readSQL = `
SELECT o.partition, o.id, o.subject, o.message_id, o.ordering_key, o.header, o.payload
FROM unnest($1::smallint[]) AS p(partition)
CROSS JOIN LATERAL (
    SELECT w.partition, w.id, w.subject, w.message_id, w.ordering_key, w.header::text AS header, w.payload` + oldestSQL + `
) o`

	// readIDsSQL takes no more of them than their places.
	readIDsSQL = `
SELECT o.partition, o.id
FROM unnest($1::smallint[]) AS p(partition)
CROSS JOIN LATERAL (
    SELECT w.partition, w.id` + oldestSQL + `
) o`

	oldestSQL = `
    FROM outbox w
    WHERE w.partition = p.partition AND w.parked_at IS NULL
      AND (NOT EXISTS (SELECT FROM outbox a WHERE a.parked_at IS NOT NULL) -- asked once, and nearly always enough
        OR NOT EXISTS (
          SELECT FROM outbox q
          WHERE q.ordering_key = w.ordering_key AND q.id < w.id AND q.parked_at IS NOT NULL))
    ORDER BY w.id
    LIMIT $2`

	// fetchSQL reads the rows at some places.
	fetchSQL = `
SELECT w.partition, w.id, w.subject, w.message_id, w.ordering_key, w.header::text, w.payload
FROM unnest($1::smallint[], $2::bigint[]) AS d(partition, id)
JOIN outbox w ON w.partition = d.partition AND w.id = d.id`
)

// exchange records the outcome of the last batch and reads the next one, in one round trip and one
// transaction. Rows come in no order across partitions. On an error nothing was recorded, or it is
// unknown whether it was; repeat the call.
func (l *lane) exchange(ctx context.Context, done outcome, next reading) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	if done.empty() && len(next.partitions) == 0 {
		return nil, nil
	}
	var b pgx.Batch
	b.Queue(settingsSQL)
	queueOutcome(&b, done)
	flag := len(next.partitions) > 0 && (l.asleep != next.drowsy || l.asleepFor != len(next.partitions))
	if flag {
		b.Queue(drowsySQL, next.partitions, next.drowsy)
	}
	var rows []row
	if len(next.partitions) > 0 {
		sql, scan := readSQL, scanRows
		if next.idsOnly {
			sql, scan = readIDsSQL, scanIDs
		}
		b.Queue(sql, next.partitions, next.limit).Query(func(found pgx.Rows) error {
			var err error
			rows, err = scan(found, l.lastRead)
			return err
		})
	}
	if err := l.relay.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("record %d published and %d refused rows of outbox and read on: %w",
			len(done.published), len(done.refused), err)
	}
	if flag {
		l.asleep, l.asleepFor = next.drowsy, len(next.partitions)
	}
	l.lastRead = len(rows)
	l.relay.counters.parked.Add(int64(len(done.refused)))
	return rows, nil
}

// fetch reads the rest of rows of which only the place is known.
func (l *lane) fetch(ctx context.Context, places []row) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	partitions, ids := placesOf(places)
	var rows []row
	var b pgx.Batch
	b.Queue(settingsSQL)
	b.Queue(fetchSQL, partitions, ids).Query(func(found pgx.Rows) error {
		var err error
		rows, err = scanRows(found, len(places))
		return err
	})
	if err := l.relay.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("read %d rows of outbox: %w", len(places), err)
	}
	return rows, nil
}

// placesOf returns the two columns that hold the places of rows.
func placesOf(rows []row) (partitions []int16, ids []int64) {
	partitions, ids = make([]int16, len(rows)), make([]int64, len(rows))
	for i := range rows {
		partitions[i], ids[i] = rows[i].partition, rows[i].id
	}
	return partitions, ids
}

// finish records the outcome of the last batch without reading on. When ctx is already done it
// still tries for a moment: the rows that JetStream acknowledged are published, also if another
// relay owns the partition now.
func (l *lane) finish(ctx context.Context, done outcome) error {
	if ctx.Err() != nil {
		moment, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
		defer cancel()
		ctx = moment
	}
	_, err := l.exchange(ctx, done, reading{})
	return err
}

func queueOutcome(b *pgx.Batch, done outcome) {
	if len(done.published) > 0 {
		partitions, ids := placesOf(done.published)
		b.Queue(deleteSQL, partitions, ids)
	}
	if n := len(done.refused); n > 0 {
		partitions, ids, reasons := make([]int16, n), make([]int64, n), make([]string, n)
		for i := range done.refused {
			partitions[i], ids[i] = done.refused[i].row.partition, done.refused[i].row.id
			reasons[i] = done.refused[i].reason
		}
		b.Queue(parkSQL, partitions, ids, reasons)
	}
}

// scanRows reads what readSQL returns, of which there are about as many as expected.
func scanRows(found pgx.Rows, expected int) ([]row, error) {
	rows := make([]row, 0, expected)
	var next row
	var header pgtype.DriverBytes
	targets := []any{&next.partition, &next.id, &next.Subject, &next.ID, &next.OrderingKey, &header, &next.Payload}
	for found.Next() {
		next = row{}
		if err := found.Scan(targets...); err != nil {
			return nil, fmt.Errorf("scan outbox row: %w", err)
		}
		next.readHeader(header)
		rows = append(rows, next)
	}
	return rows, found.Err()
}

// scanIDs reads what readIDsSQL returns.
func scanIDs(found pgx.Rows, expected int) ([]row, error) {
	rows := make([]row, 0, expected)
	var next row
	targets := []any{&next.partition, &next.id}
	for found.Next() {
		if err := found.Scan(targets...); err != nil {
			return nil, fmt.Errorf("scan outbox row: %w", err)
		}
		rows = append(rows, next)
	}
	return rows, found.Err()
}

func (r *row) readHeader(stored []byte) {
	r.headerSize = len(stored)
	var err error
	if r.Header, err = parseHeader(stored); err != nil {
		r.problem = "Header is not a map of strings"
	} else if field, problem := r.fault(); problem != "" {
		r.problem = field + " " + problem // not written by Append
	}
}
