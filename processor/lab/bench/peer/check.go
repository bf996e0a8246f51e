package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
)

// check compares the gateway, the database and the bus with the commands: every payment is
// captured exactly once, at the gateway and in the database, and every event is on the bus at
// least once.
func check(ctx context.Context, js jetstream.JetStream, s *system) error {
	n := s.options.Payments
	charges, charged := s.gateway.counts()
	var wrong []error
	if charges != n || charged != n {
		wrong = append(wrong, fmt.Errorf("the gateway has %d charges of %d payments, not %d", charges, charged, n))
	}
	for _, count := range []struct {
		what, sql string
		want      int
	}{
		{"payments", `SELECT count(*) FROM payments`, n},
		{"captured payments", `SELECT count(*) FROM payments WHERE status = 'captured' AND captured_minor = amount_minor AND version = 3`, n},
		{"claims", `SELECT count(*) FROM commands`, n},
		{"events", `SELECT count(*) FROM payment_events`, eventsOfPayment * n},
		{"captures", `SELECT count(DISTINCT payment_id) FROM payment_events WHERE type = 'payment.captured' AND version = 3`, n},
	} {
		var have int
		if err := s.handlers.QueryRow(ctx, count.sql).Scan(&have); err != nil {
			return fmt.Errorf("count %s: %w", count.what, err)
		}
		if have != count.want {
			wrong = append(wrong, fmt.Errorf("the database has %d %s, not %d", have, count.what, count.want))
		}
	}
	published, err := publishedIDs(ctx, js)
	if err != nil {
		return err
	}
	wrong = append(wrong, checkPublished(ctx, s, published))
	return errors.Join(wrong...)
}

// checkPublished compares the ids on the bus with those in the database, both ways.
func checkPublished(ctx context.Context, s *system, published map[string]struct{}) error {
	rows, err := s.handlers.Query(ctx, `SELECT payment_id || ':' || version FROM payment_events`)
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	missing := 0
	for _, id := range stored {
		if _, is := published[id]; !is {
			missing++
		}
	}
	if missing > 0 || len(published) != len(stored) {
		return fmt.Errorf("%d events are stored and %d are on the bus; %d of the stored are missing there", len(stored), len(published), missing)
	}
	return nil
}

// publishedIDs reads the whole stream of events.
func publishedIDs(ctx context.Context, js jetstream.JetStream) (map[string]struct{}, error) {
	last, err := streamMessages(ctx, js, streamEvents)
	if err != nil {
		return nil, err
	}
	consumer, err := js.OrderedConsumer(ctx, streamEvents, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", streamEvents, err)
	}
	ids := make(map[string]struct{}, last)
	for read := 0; read < last; {
		batch, err := consumer.Fetch(min(1000, last-read), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", streamEvents, err)
		}
		before := read
		for msg := range batch.Messages() {
			ids[msg.Headers().Get("ce-id")] = struct{}{}
			read++
		}
		if read == before {
			return nil, errors.Join(fmt.Errorf("read %d messages of %d in stream %s", read, last, streamEvents), batch.Error())
		}
	}
	return ids, nil
}
