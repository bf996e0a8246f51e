// Package floor writes payments into PostgreSQL with the least work that their rows allow: the
// rows, bytes and indexes of their changes, in large plain batches of one round trip each. Nothing
// is loaded or compared, no version and no claim is contested, and no batch waits for another. A
// benchmark holds the pipeline against it. A test keeps the rows equal to those that
// [store.Store.Commit] leaves behind.
package floor

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/outbox/pgarray"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// Every statement of this package is in queries/, one to a file, so that a test can prepare them
// all.

//go:embed queries/payments.sql
var paymentsSQL string

//go:embed queries/settle.sql
var settleSQL string

//go:embed queries/claims.sql
var claimsSQL string

//go:embed queries/outbox.sql
var outboxSQL string

//go:embed queries/published.sql
var publishedSQL string

//go:embed queries/no_wait.sql
var noWaitSQL string

// Payment is the changes of one new payment, in order.
type Payment []store.Change

// Batches are payments, encoded and ready to be written.
type Batches struct{ batches []batch }

// batch is some payments: their steps one after the other.
type batch struct{ steps []step }

// step is one transaction, encoded: the change of each payment of a batch that has the same place
// among its changes.
type step struct {
	rows        store.Rows
	paymentsSQL string
	outbox      []any
}

// Encode encodes payments, each of which has as many changes as the others, in batches of at most
// batchMax payments. It sets the changes' PreviousHash.
func Encode(payments []Payment, batchMax int) (*Batches, error) {
	if batchMax < 1 {
		return nil, errors.New("encode the floor: batches of less than one payment")
	}
	b := &Batches{}
	for len(payments) > 0 {
		n := min(batchMax, len(payments))
		next, err := newBatch(payments[:n])
		if err != nil {
			return nil, fmt.Errorf("encode the floor: %w", err)
		}
		b.batches = append(b.batches, next)
		payments = payments[n:]
	}
	return b, nil
}

func newBatch(payments []Payment) (batch, error) {
	var b batch
	last := make([]messages.Hash, len(payments))
	for place := range payments[0] {
		changes := make([]store.Change, len(payments))
		for i, p := range payments {
			if len(p) != len(payments[0]) {
				return batch{}, fmt.Errorf("a payment with %d changes beside one with %d", len(p), len(payments[0]))
			}
			if place > 0 {
				p[place].PreviousHash = last[i]
			}
			changes[i] = p[place]
		}
		rows, err := store.Encode(changes)
		if err != nil {
			return batch{}, err
		}
		for i := range changes {
			last[i] = changes[i].Payment.LastHash
		}
		s := step{rows: rows, paymentsSQL: settleSQL}
		if changes[0].ExpectedVersion == 0 {
			s.paymentsSQL = paymentsSQL
		}
		if len(rows.Messages) > 0 {
			s.outbox = outboxColumns(rows.Messages)
		}
		b.steps = append(b.steps, s)
	}
	return b, nil
}

// outboxColumns are the arguments of outboxSQL. The cost of a row does not depend on its partition.
func outboxColumns(msgs []outbox.Message) []any {
	partitions := make([]int16, len(msgs))
	headers := make([][]byte, len(msgs))
	for i := range msgs {
		partitions[i] = int16(i % outbox.Partitions)
		header, err := json.Marshal(msgs[i].Header)
		if err != nil {
			panic(fmt.Sprintf("floor: a map of strings must be valid JSON: %v", err))
		}
		headers[i] = header
	}
	return []any{
		pgarray.Int16s(partitions, func(p int16) int16 { return p }),
		pgarray.Texts(msgs, func(m outbox.Message) string { return m.Subject }),
		pgarray.Texts(msgs, func(m outbox.Message) string { return m.ID }),
		pgarray.Texts(msgs, func(m outbox.Message) string { return m.OrderingKey }),
		pgarray.Bytes(headers, func(h []byte) []byte { return h }),
		pgarray.Bytes(msgs, func(m outbox.Message) []byte { return m.Payload }),
	}
}

// OmitOutbox leaves out the rows of the outbox, as if the payments had been published and these
// deleted long ago.
func (b *Batches) OmitOutbox() {
	for _, next := range b.batches {
		for i := range next.steps {
			next.steps[i].outbox = nil
		}
	}
}

// Write writes everything over a number of connections at once, each batch in as many transactions
// as its payments have changes, and a last one that deletes the rows of the outbox. It can be done
// once.
func (b *Batches) Write(ctx context.Context, pool *store.Pool, connections int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan *batch, len(b.batches))
	for i := range b.batches {
		work <- &b.batches[i]
	}
	close(work)
	var writing sync.WaitGroup
	for range connections {
		writing.Go(func() {
			for next := range work {
				if err := next.write(ctx, pool); err != nil {
					cancel(fmt.Errorf("write the floor: %w", err))
					return
				}
			}
		})
	}
	writing.Wait()
	return context.Cause(ctx)
}

func (b *batch) write(ctx context.Context, pool *store.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	pgarray.Register(conn.Conn().TypeMap())
	var partitions []int16
	var ids []int64
	for i := range b.steps {
		var queued pgx.Batch // one implicit transaction, and one round trip
		b.steps[i].queue(&queued, func(partition int16, id int64) {
			partitions, ids = append(partitions, partition), append(ids, id)
		})
		pgarray.Reserve(conn.Conn(), &queued)
		if err := conn.SendBatch(ctx, &queued).Close(); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var published pgx.Batch
	published.Queue(store.Settings())
	published.Queue(noWaitSQL)
	published.Queue(publishedSQL, partitions, ids)
	return conn.SendBatch(ctx, &published).Close()
}

// queue calls row for each row of the outbox once the batch was sent.
func (s *step) queue(b *pgx.Batch, row func(partition int16, id int64)) {
	b.Queue(store.Settings())
	b.Queue(s.paymentsSQL, s.rows.Payments...)
	if s.rows.Claims != nil {
		b.Queue(claimsSQL, s.rows.Claims...)
	}
	s.rows.QueueHistory(b)
	if s.outbox == nil {
		return
	}
	b.Queue(outboxSQL, s.outbox...).Query(func(rows pgx.Rows) error {
		var partition int16
		var id int64
		_, err := pgx.ForEachRow(rows, []any{&partition, &id}, func() error {
			row(partition, id)
			return nil
		})
		return err
	})
}
