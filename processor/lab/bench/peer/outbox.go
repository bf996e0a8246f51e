package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// outbox is the tables of watermill-sql with the forwarder of Watermill. It forwards the messages
// of one topic one by one, so there are several topics, and all messages of a payment are in one
// of them.
type outbox struct {
	schema   sql.SchemaAdapter
	offsets  sql.OffsetsAdapter
	topics   []string
	pipeline bool
}

func newOutbox(o options) *outbox {
	bytea := func(string) string { return "BYTEA" } // or PostgreSQL would parse every message as JSON
	b := &outbox{
		schema:  sql.DefaultPostgreSQLSchema{SubscribeBatchSize: o.Batch, GeneratePayloadType: bytea},
		offsets: sql.DefaultPostgreSQLOffsetsAdapter{}, pipeline: o.Pipeline,
	}
	if o.Schema == schemaQueue {
		b.schema = sql.PostgreSQLQueueSchema{SubscribeBatchSize: o.Batch, GeneratePayloadType: bytea}
		b.offsets = sql.PostgreSQLQueueOffsetsAdapter{DeleteOnAck: true}
	}
	for i := range o.Outboxes {
		b.topics = append(b.topics, "outbox_"+strconv.Itoa(i))
	}
	return b
}

func (b *outbox) topic(paymentID uuid.UUID) string {
	h := fnv.New32a()
	h.Write(paymentID[:])
	return b.topics[int64(h.Sum32())%int64(len(b.topics))]
}

// commit writes the batch, and the records for publishing, in one transaction. It is durable when
// it returns.
func (b *outbox) commit(ctx context.Context, pool *pgxpool.Pool, batch *pgx.Batch, records []record) error {
	if b.pipeline {
		if err := b.publish(ctx, queuer{batch}, records); err != nil {
			return err
		}
		return pool.SendBatch(ctx, batch).Close() // a batch is a transaction
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		return b.publish(ctx, sql.TxFromPgx(tx), records)
	})
}

// publish writes messages to the outbox through db. Watermill requires a publisher for each
// transaction.
func (b *outbox) publish(ctx context.Context, db sql.ContextExecutor, records []record) error {
	inner, err := sql.NewPublisher(db, sql.PublisherConfig{SchemaAdapter: b.schema}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("make a publisher: %w", err)
	}
	messages := make([]*message.Message, len(records))
	for i, r := range records {
		messages[i] = r.message()
		messages[i].SetContext(ctx)
	}
	publisher := forwarder.NewPublisher(inner, forwarder.PublisherConfig{ForwarderTopic: b.topic(records[0].PaymentID)})
	return publisher.Publish(topicEvents, messages...)
}

// queuer lets Watermill's publisher queue its statement instead of waiting for it.
type queuer struct{ batch *pgx.Batch }

func (q queuer) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	q.batch.Queue(query, args...)
	return queued{}, nil
}

func (q queuer) QueryContext(context.Context, string, ...any) (sql.Rows, error) {
	return nil, errors.New("a query cannot be queued")
}

// queued is the result of a statement that is yet to run. The publisher does not look at it.
type queued struct{}

func (queued) RowsAffected() (int64, error) { return 0, nil }
