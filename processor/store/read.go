package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Get returns a payment as it stands, or ErrNotFound. tenant "" means any tenant, which is for operators only. A payment
// whose history holds refusals only is found too; its status is none.
func (s *Store) Get(ctx context.Context, tenant string, paymentID uuid.UUID) (*payment.Payment, error) {
	var state []byte
	err := s.pool.QueryRow(ctx, getSQL, id(paymentID), tenant).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get payment %s: %w", paymentID, err)
	}
	p, err := decodeState(state)
	if err != nil {
		return nil, fmt.Errorf("get payment %s: %w", paymentID, err)
	}
	return p, nil
}

func decodeState(state []byte) (*payment.Payment, error) {
	p := &payment.Payment{}
	if err := json.Unmarshal(state, p); err != nil {
		return nil, fmt.Errorf("decode state: %w", err)
	}
	return p, nil
}

// History returns all events of a payment in order, those that are not published included, or ErrNotFound. tenant "" means
// any tenant.
func (s *Store) History(ctx context.Context, tenant string, paymentID uuid.UUID) ([]messages.Event, error) {
	rows, err := s.pool.Query(ctx, historySQL, id(paymentID), tenant)
	if err != nil {
		return nil, fmt.Errorf("read history of payment %s: %w", paymentID, err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (messages.Event, error) {
		var body []byte
		var traceparent string
		if err := row.Scan(&body, &traceparent); err != nil {
			return messages.Event{}, err
		}
		event, err := messages.DecodeEventBody(body)
		event.Traceparent = traceparent
		return event, err
	})
	if err == nil && len(events) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read history of payment %s: %w", paymentID, err)
	}
	return events, nil
}

// ReviewEvents returns the events that opened the reviews of payments, in order, by payment; those of reviews that have ended
// are among them. A payment that was never in review, or that isn't there, has none.
func (s *Store) ReviewEvents(ctx context.Context, payments []uuid.UUID) (map[uuid.UUID][]messages.Event, error) {
	rows, err := s.pool.Query(ctx, reviewEventsSQL, column(payments, id))
	if err != nil {
		return nil, fmt.Errorf("read reviews: %w", err)
	}
	events := map[uuid.UUID][]messages.Event{}
	var paymentID uuid.UUID
	var body []byte
	var traceparent string
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &body, &traceparent}, func() error {
		event, err := messages.DecodeEventBody(body)
		if err != nil {
			return fmt.Errorf("payment %s: %w", paymentID, err)
		}
		event.Traceparent = traceparent
		events[paymentID] = append(events[paymentID], event)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read reviews: %w", err)
	}
	return events, nil
}
