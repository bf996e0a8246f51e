package outbox

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Queued is a row that waits in the outbox, or is parked there.
type Queued struct {
	OrderingKey, MessageID string
	Parked                 bool
}

const queuedSQL = `
SELECT o.ordering_key, o.message_id, o.parked_at IS NOT NULL
FROM outbox o
WHERE o.ordering_key = ANY($1::text[])
ORDER BY o.id`

// QueuedOf returns the rows of some ordering keys, in the order in which they will be published.
// Rows are not indexed by key, so its cost grows with the backlog.
func QueuedOf(ctx context.Context, db DBTX, orderingKeys []string) ([]Queued, error) {
	rows, err := db.Query(ctx, queuedSQL, orderingKeys)
	if err != nil {
		return nil, fmt.Errorf("read outbox rows of %d keys: %w", len(orderingKeys), err)
	}
	queued, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Queued])
	if err != nil {
		return nil, fmt.Errorf("read outbox rows of %d keys: %w", len(orderingKeys), err)
	}
	return queued, nil
}

const (
	// requeueLockSQL keeps relays from owning partitions until the transaction ends.
	requeueLockSQL = `
SELECT p::smallint, pg_try_advisory_xact_lock('outbox'::regclass::oid::int4, p)
FROM unnest($1::int4[]) AS p`

	requeueDeleteSQL = `
DELETE FROM outbox o
WHERE o.parked_at IS NULL AND o.ordering_key = ANY($1::text[]) AND o.message_id = ANY($2::text[])`
)

// Requeue is Append for messages that may wait in the outbox already: those rows go, so that all of
// the messages come out in the order in which they are given, and returns the keys that it had to
// leave alone: a relay owns the partition of a key with such a row, and may be publishing it at
// this moment. keysWaiting are the keys that have such rows. tx has to be a transaction, in which
// no other session can append to the same keys.
func Requeue(ctx context.Context, tx pgx.Tx, msgs []Message, keysWaiting []string) (owned []string, err error) {
	if len(keysWaiting) > 0 {
		if owned, err = tryOwn(ctx, tx, keysWaiting); err != nil {
			return nil, err
		}
	}
	mine := make([]Message, 0, len(msgs))
	var keys, ids []string
	for i := range msgs {
		if slices.Contains(owned, msgs[i].OrderingKey) {
			continue
		}
		mine = append(mine, msgs[i])
		if slices.Contains(keysWaiting, msgs[i].OrderingKey) {
			keys, ids = append(keys, msgs[i].OrderingKey), append(ids, msgs[i].ID)
		}
	}
	if len(keys) > 0 {
		if _, err := tx.Exec(ctx, requeueDeleteSQL, keys, ids); err != nil {
			return nil, fmt.Errorf("take %d messages out of outbox: %w", len(ids), err)
		}
	}
	return owned, Append(ctx, tx, mine...)
}

// tryOwn takes the partitions of keys for the transaction and returns the keys whose partition a
// relay owns.
func tryOwn(ctx context.Context, tx pgx.Tx, keys []string) (owned []string, err error) {
	var partitions []int32
	for _, key := range keys {
		if p := int32(partitionOf(key)); !slices.Contains(partitions, p) {
			partitions = append(partitions, p)
		}
	}
	rows, err := tx.Query(ctx, requeueLockSQL, partitions)
	if err != nil {
		return nil, fmt.Errorf("lock outbox partitions: %w", err)
	}
	var partition int16
	var free bool
	_, err = pgx.ForEachRow(rows, []any{&partition, &free}, func() error {
		for _, key := range keys {
			if !free && partitionOf(key) == partition {
				owned = append(owned, key)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock outbox partitions: %w", err)
	}
	return owned, nil
}
