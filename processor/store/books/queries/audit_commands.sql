-- Which of the commands in the arguments no claim answers: neither the claim of their key, made by the same command, nor that of
-- a refusal because the key was taken. The lookups are limited to one row so that the planner cannot turn them into joins.
SELECT r.position
FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::bytea[])
    WITH ORDINALITY AS r (tenant, command, idempotency_key, payment_id, payload_hash, conflict_hash, position)
LEFT JOIN LATERAL (
    SELECT true AS answered FROM commands q
    WHERE q.tenant = r.tenant AND q.command = r.command AND q.idempotency_key = r.idempotency_key AND q.conflict_hash = ''
      AND q.payment_id = r.payment_id AND q.payload_hash = r.payload_hash
    LIMIT 1
) c ON true
LEFT JOIN LATERAL (
    SELECT true AS answered FROM commands q
    WHERE q.tenant = r.tenant AND q.command = r.command AND q.idempotency_key = r.idempotency_key AND q.conflict_hash = r.conflict_hash
    LIMIT 1
) x ON true
WHERE c.answered IS NULL AND x.answered IS NULL
