package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/outbox/pgarray"
)

// Floor is the least that PostgreSQL has to do for payments: the rows, bytes and indexes of their changes, written in large plain
// batches of one round trip each. Nothing is loaded or compared, no version and no claim is contested, and nobody waits for
// anybody. It is what a benchmark holds the pipeline against. A test keeps it equal to what [Store.Commit] leaves behind.
type Floor struct {
	batches  []floorBatch
	payments int
}

// floorBatch is some payments: their steps one after the other, and the rows of the outbox that these leave to be deleted.
type floorBatch struct{ steps []floorStep }

// floorStep is one transaction, encoded.
type floorStep struct {
	paymentsSQL              string
	payments, claims, events []any
	timersSet, timersDeleted []any
	outbox                   []any
}

// FloorPayment is the changes of one new payment, in order.
type FloorPayment []Change

// NewFloor encodes payments, each of which has as many changes as the others, in batches of at most batchMax payments. It sets
// the changes' PreviousHash.
func NewFloor(payments []FloorPayment, batchMax int) (*Floor, error) {
	if batchMax < 1 {
		return nil, errors.New("floor: batches of less than one payment")
	}
	f := &Floor{payments: len(payments)}
	for len(payments) > 0 {
		batch, err := newFloorBatch(payments[:min(batchMax, len(payments))])
		if err != nil {
			return nil, fmt.Errorf("floor: %w", err)
		}
		f.batches = append(f.batches, batch)
		payments = payments[min(batchMax, len(payments)):]
	}
	return f, nil
}

// Payments is how many payments there are.
func (f *Floor) Payments() int { return f.payments }

// OmitOutbox leaves out the rows of the outbox, as if the payments had been published and these deleted long ago.
func (f *Floor) OmitOutbox() {
	for _, b := range f.batches {
		for i := range b.steps {
			b.steps[i].outbox = nil
		}
	}
}

func newFloorBatch(payments []FloorPayment) (floorBatch, error) {
	steps := make([][]*entry, len(payments[0]))
	for _, changes := range payments {
		if len(changes) != len(steps) {
			return floorBatch{}, fmt.Errorf("a payment with %d changes beside one with %d", len(changes), len(steps))
		}
		for i := range changes {
			if i > 0 {
				changes[i].PreviousHash = changes[i-1].Payment.LastHash
			}
			e, err := newEntry(&changes[i])
			if err != nil {
				return floorBatch{}, err
			}
			steps[i] = append(steps[i], e)
		}
	}
	var b floorBatch
	for _, entries := range steps {
		b.steps = append(b.steps, newFloorStep(entries))
	}
	return b, nil
}

func newFloorStep(entries []*entry) floorStep {
	w := batchWrite{entries: entries}
	s := floorStep{paymentsSQL: floorSettleSQL, payments: paymentColumns(entries)}
	if entries[0].row.previousVersion == 0 {
		s.paymentsSQL = floorPaymentsSQL
	}
	if claims := w.claims(); len(claims) > 0 {
		s.claims = claimColumns(claims)
	}
	var events []*eventRow
	var outgoing []outbox.Message
	var set, deleted []*entry
	for _, e := range entries {
		for i := range e.events {
			events = append(events, &e.events[i])
		}
		outgoing = append(outgoing, e.messages...)
		switch e.timer {
		case timerSet:
			set = append(set, e)
		case timerDeleted:
			deleted = append(deleted, e)
		case timerStays:
		}
	}
	s.events = eventColumns(events)
	if len(set) > 0 {
		s.timersSet = timerColumns(set)
	}
	if len(deleted) > 0 {
		s.timersDeleted = []any{pgarray.UUIDs(deleted, func(e *entry) uuid.UUID { return e.row.id })}
	}
	if len(outgoing) > 0 {
		s.outbox = floorOutboxColumns(outgoing)
	}
	return s
}

// floorOutboxColumns are the arguments of floorOutboxSQL. Which partition a row is in makes no difference to what it costs.
func floorOutboxColumns(msgs []outbox.Message) []any {
	partitions := make([]int16, len(msgs))
	headers := make([][]byte, len(msgs))
	for i := range msgs {
		partitions[i] = int16(i % outbox.Partitions)
		header, err := json.Marshal(msgs[i].Header)
		if err != nil {
			panic(fmt.Sprintf("store: a map of strings must be valid JSON: %v", err))
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

// Write writes everything over a number of connections at once, each batch in as many transactions as its payments have changes,
// and a last one that deletes the rows of the outbox. It can be done once.
func (f *Floor) Write(ctx context.Context, pool *Pool, connections int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan *floorBatch, len(f.batches))
	for i := range f.batches {
		work <- &f.batches[i]
	}
	close(work)
	var writing sync.WaitGroup
	for range connections {
		writing.Go(func() {
			for b := range work {
				if err := b.write(ctx, pool); err != nil {
					cancel(fmt.Errorf("write the floor: %w", err))
					return
				}
			}
		})
	}
	writing.Wait()
	return context.Cause(ctx)
}

func (b *floorBatch) write(ctx context.Context, pool *Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	pgarray.Register(conn.Conn().TypeMap())
	var partitions []int16
	var ids []int64
	for i := range b.steps {
		var batch pgx.Batch // one implicit transaction, and one round trip
		b.steps[i].queue(&batch, func(partition int16, id int64) {
			partitions, ids = append(partitions, partition), append(ids, id)
		})
		pgarray.Reserve(conn.Conn(), &batch)
		if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var published pgx.Batch
	published.Queue(settingsSQL)
	published.Queue(floorNoWaitSQL)
	published.Queue(floorPublishedSQL, partitions, ids)
	return conn.SendBatch(ctx, &published).Close()
}

func (s *floorStep) queue(b *pgx.Batch, row func(partition int16, id int64)) {
	b.Queue(settingsSQL)
	b.Queue(s.paymentsSQL, s.payments...)
	if s.claims != nil {
		b.Queue(floorClaimsSQL, s.claims...)
	}
	b.Queue(writeEventsSQL, s.events...)
	if s.timersSet != nil {
		b.Queue(writeTimersSQL, s.timersSet...)
	}
	if s.timersDeleted != nil {
		b.Queue(deleteTimersSQL, s.timersDeleted...)
	}
	if s.outbox == nil {
		return
	}
	b.Queue(floorOutboxSQL, s.outbox...).Query(func(rows pgx.Rows) error {
		var partition int16
		var id int64
		_, err := pgx.ForEachRow(rows, []any{&partition, &id}, func() error {
			row(partition, id)
			return nil
		})
		return err
	})
}
