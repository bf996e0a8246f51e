package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed-384b1f8a/tender/outbox/pgarray"
)

// DBTX is what the functions of this package need of a database: a pgx.Tx, a *pgx.Conn or a
// *pgxpool.Pool.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// channel is the NOTIFY channel. Its payload is empty for new rows and released when partitions
// were given up.
const (
	channel  = "outbox"
	released = "released"
)

const (
	// insertSQL writes all messages in one statement, ids rising in the order given.
	insertSQL = `
    INSERT INTO outbox (partition, subject, message_id, ordering_key, header, payload)
    SELECT m.partition, m.subject, m.message_id, m.ordering_key, m.header, m.payload
    FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::json[], $6::bytea[])
        WITH ORDINALITY AS m(partition, subject, message_id, ordering_key, header, payload, position)
    ORDER BY m.position`

	// sleepersSQL has a row if an owner sleeps. NOTIFY takes a lock that all notifying transactions
	// of the server share from before their commit until after it, so it is only issued then.
	sleepersSQL = `SELECT FROM outbox_partition p WHERE p.asleep AND p.partition = ANY($1::smallint[])`

	appendSQL = `
WITH added AS (` + insertSQL + `
)
SELECT pg_notify('` + channel + `', '') WHERE EXISTS (` + sleepersSQL + `)`
)

// Append writes msgs to the outbox within the caller's transaction: they are published if, and only
// if, it commits. One statement for any number of messages; none for no messages.
//
// Messages of one ordering key are published in the order they are given. Across transactions the
// order of a key is the order of the calls as long as the caller lets only one transaction at a
// time write to that key (a row lock, or a version that only one of them can win).
//
// An *InvalidMessageError means nothing was sent to the database. After any other error the
// transaction is aborted, as after any failed statement.
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

// Queue is Append for a pipelined batch: it queues one statement on b, to be sent by the caller
// together with others in one round trip. It queues nothing when it returns an error, which is
// always an *InvalidMessageError, or when there are no messages. The statement's result counts no
// rows.
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

// Place is where a message lies in the outbox for as long as it waits there. No two messages ever
// have the same place.
type Place struct {
	Partition int16
	ID        int64
}

// AppendPlaces is [Append] for a caller that wants to know later whether its messages still wait:
// it returns the place of each message, in the order of msgs.
func AppendPlaces(ctx context.Context, tx DBTX, msgs ...Message) ([]Place, error) {
	if len(msgs) == 0 {
		return nil, nil
	}
	rows, err := encode(msgs)
	if err != nil {
		return nil, err
	}
	found, err := tx.Query(ctx, queueStretchesSQL, columns(rows)...)
	if err != nil {
		return nil, fmt.Errorf("append %d messages to outbox: %w", len(msgs), err)
	}
	ids := make(map[string][]int64, len(msgs)) // by message id, which a caller may use twice
	var id int64
	var messageID string
	_, err = pgx.ForEachRow(found, []any{&id, &messageID, nil}, func() error {
		ids[messageID] = append(ids[messageID], id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("append %d messages to outbox: %w", len(msgs), err)
	}
	places := make([]Place, len(rows))
	for i := range rows {
		its := ids[rows[i].ID]
		if len(its) == 0 {
			return nil, fmt.Errorf("append %d messages to outbox: PostgreSQL names no row for message %s", len(msgs), rows[i].ID)
		}
		places[i] = Place{Partition: rows[i].partition, ID: its[0]}
		ids[rows[i].ID] = its[1:]
	}
	return places, nil
}

func appendArgs(msgs []Message) ([]any, error) {
	rows, err := encode(msgs)
	if err != nil {
		return nil, err
	}
	return columns(rows), nil
}

// encode checks messages and makes rows of them.
func encode(msgs []Message) ([]encoded, error) {
	rows := make([]encoded, len(msgs))
	size := 0
	for i := range msgs {
		m := &msgs[i]
		if field, problem := m.fault(); problem != "" {
			return nil, &InvalidMessageError{Index: i, ID: m.ID, Field: field, Problem: problem}
		}
		size += headerRoom(m.Header)
	}
	headers := make([]byte, 0, size) // of all messages, so that there is one allocation
	for i := range msgs {
		start := len(headers)
		headers = appendHeader(headers, msgs[i].Header)
		rows[i] = encoded{Message: &msgs[i], partition: partitionOf(msgs[i].OrderingKey), header: headers[start:]}
	}
	return rows, nil
}

// columns are the arguments of insertSQL.
func columns(rows []encoded) []any {
	return []any{
		pgarray.Int16s(rows, func(r encoded) int16 { return r.partition }),
		pgarray.Texts(rows, func(r encoded) string { return r.Subject }),
		pgarray.Texts(rows, func(r encoded) string { return r.ID }),
		pgarray.Texts(rows, func(r encoded) string { return r.OrderingKey }),
		pgarray.Bytes(rows, func(r encoded) []byte { return r.header }),
		pgarray.Bytes(rows, func(r encoded) []byte { return r.Payload }),
	}
}

// encoded is a message on its way into the table.
type encoded struct {
	*Message
	partition int16
	header    []byte // as it is stored
}

// headerRoom is at least what the stored form takes if nothing has to be escaped.
func headerRoom(header map[string]string) int {
	room := len("{}")
	for name, value := range header {
		room += len(name) + len(value) + len(`"":"",`)
	}
	return room
}
