-- What a decision needs of each payment: its state, and whether its command's key was used. The lookups are limited to
-- one row each so that the planner can't turn them into joins over whole tables.
SELECT k.position, p.tenant, p.state,
       c.payment_id, c.payload_hash, c.version, c.operation_id, c.outcome,
       r.payment_id, r.payload_hash, r.version, r.operation_id, r.outcome
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    WITH ORDINALITY AS k (payment_id, tenant, command, idempotency_key, conflict_hash, position)
LEFT JOIN LATERAL (
    SELECT q.tenant, q.state FROM payments q WHERE q.payment_id = k.payment_id LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT q.payment_id, q.payload_hash, q.version, q.operation_id, q.outcome FROM commands q
    WHERE q.tenant = k.tenant AND q.command = k.command AND q.idempotency_key = k.idempotency_key
      AND q.conflict_hash = ''
      AND k.idempotency_key <> ''
    LIMIT 1
) c ON true
LEFT JOIN LATERAL (
    SELECT q.payment_id, q.payload_hash, q.version, q.operation_id, q.outcome FROM commands q
    WHERE q.tenant = k.tenant AND q.command = k.command AND q.idempotency_key = k.idempotency_key
      AND q.conflict_hash = k.conflict_hash
      AND k.conflict_hash <> ''
    LIMIT 1
) r ON true
