package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	insertClaim = `INSERT INTO commands (tenant, command, idempotency_key, payload_hash, payment_id, version, operation_id, outcome)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 'accepted')`
	insertPayment = `INSERT INTO payments (payment_id, version, amount_minor, authorized_minor, captured_minor, refundable_minor,
		created_at, updated_at, exponent, tenant, status, currency, capture_method, customer_id, merchant_reference, gateway,
		gateway_reference, state)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`
	updatePayment = `UPDATE payments SET version = $2, authorized_minor = $3, captured_minor = $4, refundable_minor = $5,
		updated_at = $6, status = $7, gateway_reference = $8, state = $9
		WHERE payment_id = $1 AND version = $10`
	insertEvents = `INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data)
		SELECT $1, e.version, $2, e.type, $3, e.data FROM unnest($4::bigint[], $5::text[], $6::json[]) AS e (version, type, data)`
	selectState = `SELECT p.state FROM commands c JOIN payments p USING (payment_id)
		WHERE c.tenant = $1 AND c.command = $2 AND c.idempotency_key = $3`

	uniqueViolation = "23505"
)

// worker handles commands. It may be called concurrently.
type worker struct {
	pool    *pgxpool.Pool
	outbox  *outbox
	gateway *gateway
	guarded message.HandlerMiddleware
}

// handle does the work for a payment: two transactions, and between them the call of the gateway.
// After any failure the command is delivered again and continues from the last transaction.
func (w *worker) handle(msg *message.Message) error {
	ctx := msg.Context()
	var c createCommand
	if err := json.Unmarshal(msg.Payload, &c); err != nil {
		return fmt.Errorf("decode command %s: %w", msg.UUID, err)
	}
	p, err := w.begin(ctx, c, msg.Payload)
	if err != nil {
		return fmt.Errorf("begin payment %s: %w", c.PaymentID, err)
	}
	if p.Status == statusCaptured {
		return nil
	}
	reference, err := w.charge(msg, p)
	if err != nil {
		return fmt.Errorf("charge payment %s: %w", p.ID, err)
	}
	if err := w.finish(ctx, p, reference); err != nil {
		return fmt.Errorf("finish payment %s: %w", p.ID, err)
	}
	return nil
}

// begin is the first transaction. If the key is claimed already, it returns the stored payment.
func (w *worker) begin(ctx context.Context, c createCommand, body []byte) (*payment, error) {
	p, records, err := create(c, now())
	if err != nil {
		return nil, err
	}
	state, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	batch := &pgx.Batch{}
	batch.Queue(insertClaim, tenant, commandName, c.IdempotencyKey, hash[:], p.ID, p.Version, p.Operations[0].ID)
	batch.Queue(insertPayment, p.ID, p.Version, p.AmountMinor, p.AuthorizedMinor, p.CapturedMinor, p.CapturedMinor,
		p.CreatedAt, p.UpdatedAt, p.Exponent, p.Tenant, p.Status, p.Currency, p.CaptureMethod, p.CustomerID, p.MerchantReference,
		p.Gateway, p.GatewayReference, state)
	queueEvents(batch, records)
	err = w.outbox.commit(ctx, w.pool, batch, records)
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == uniqueViolation {
		return w.load(ctx, c.IdempotencyKey)
	}
	return p, err
}

func (w *worker) charge(msg *message.Message, p *payment) (reference string, err error) {
	_, err = w.guarded(func(*message.Message) ([]*message.Message, error) {
		reference = w.gateway.charge(p.Operations[0].ID, p.ID)
		return nil, nil
	})(msg)
	return reference, err
}

// finish is the second transaction. If two finish one payment at the same time, the key of the
// event refuses the later one. Its command is delivered again and finds the payment finished.
func (w *worker) finish(ctx context.Context, p *payment, reference string) error {
	before := p.Version
	captured, err := p.capture(reference, now())
	if err != nil {
		return err
	}
	state, err := json.Marshal(p)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(updatePayment, p.ID, p.Version, p.AuthorizedMinor, p.CapturedMinor, p.CapturedMinor, p.UpdatedAt, p.Status,
		p.GatewayReference, state, before)
	records := []record{captured}
	queueEvents(batch, records)
	return w.outbox.commit(ctx, w.pool, batch, records)
}

// queueEvents queues one statement for the events of one payment.
func queueEvents(batch *pgx.Batch, records []record) {
	versions, types, bodies := make([]int64, len(records)), make([]string, len(records)), make([]string, len(records))
	for i, r := range records {
		versions[i], types[i], bodies[i] = r.Version, r.Type, string(r.data)
	}
	batch.Queue(insertEvents, records[0].PaymentID, records[0].OccurredAt, traceparent, versions, types, bodies)
}

func (w *worker) load(ctx context.Context, key string) (*payment, error) {
	var state []byte
	if err := w.pool.QueryRow(ctx, selectState, tenant, commandName, key).Scan(&state); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	p := &payment{}
	if err := json.Unmarshal(state, p); err != nil {
		return nil, fmt.Errorf("decode state: %w", err)
	}
	return p, nil
}

// now is the time as PostgreSQL keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// newID returns increasing ids, as producers should use.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
