package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DBTX is what the functions of this package need of a database: a pgx.Tx, a *pgx.Conn or a *pgxpool.Pool.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// channel is the NOTIFY channel. Its payload is empty for new rows and released when partitions were given up.
const (
	channel  = "outbox"
	released = "released"
)

// appendSQL writes all messages in one statement, ids rising in the order given. NOTIFY takes a lock that all notifying
// transactions of the server share from before their commit until after it, so it is only issued when an owner sleeps.
const appendSQL = `
WITH added AS (
    INSERT INTO outbox (partition, subject, message_id, ordering_key, header, payload)
    SELECT m.partition, m.subject, m.message_id, m.ordering_key, m.header::json, m.payload
    FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
        WITH ORDINALITY AS m(partition, subject, message_id, ordering_key, header, payload, position)
    ORDER BY m.position
)
SELECT pg_notify('` + channel + `', '')
WHERE EXISTS (SELECT FROM outbox_partition p WHERE p.asleep AND p.partition = ANY($1::smallint[]))`

// Append writes msgs to the outbox within the caller's transaction: they are published if, and only if, it commits.
// One statement, whatever the number of messages; none for no messages.
//
// Messages of one ordering key are published in the order they are given. Across transactions the order of a key is
// the order of the calls as long as the caller lets only one transaction at a time write to that key (a row lock, or a
// version that only one of them can win).
//
// An *InvalidMessageError means nothing was sent to the database. After any other error the transaction is aborted, as
// after any failed statement.
func Append(ctx context.Context, tx DBTX, msgs ...Message) error {
	if len(msgs) == 0 {
		return nil
	}
	args, err := appendArgs(msgs)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, appendSQL, args...); err != nil {
		return fmt.Errorf("append %d messages to outbox: %w", len(msgs), err)
	}
	return nil
}

// Queue is Append for a pipelined batch: it queues one statement on b, to be sent by the caller together with others
// in one round trip. It queues nothing when it returns an error, which is always an *InvalidMessageError, or when there
// are no messages. The statement's result counts no rows.
func Queue(b *pgx.Batch, msgs []Message) error {
	if len(msgs) == 0 {
		return nil
	}
	args, err := appendArgs(msgs)
	if err != nil {
		return err
	}
	b.Queue(appendSQL, args...)
	return nil
}

func appendArgs(msgs []Message) ([]any, error) {
	n := len(msgs)
	partitions, payloads := make([]int16, n), make([][]byte, n)
	subjects, ids, keys, headers := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i := range msgs {
		m := &msgs[i]
		if field, problem := m.fault(); problem != "" {
			return nil, &InvalidMessageError{Index: i, ID: m.ID, Field: field, Problem: problem}
		}
		partitions[i] = partitionOf(m.OrderingKey)
		subjects[i], ids[i], keys[i], headers[i] = m.Subject, m.ID, m.OrderingKey, headerJSON(m.Header)
		payloads[i] = m.Payload
		if payloads[i] == nil {
			payloads[i] = []byte{} // nil would be NULL
		}
	}
	return []any{partitions, subjects, ids, keys, headers, payloads}, nil
}

func headerJSON(header map[string]string) string {
	if len(header) == 0 {
		return "{}"
	}
	text, err := json.Marshal(header)
	if err != nil {
		panic(fmt.Sprintf("outbox: a map of strings must be valid JSON: %v", err))
	}
	return string(text)
}
