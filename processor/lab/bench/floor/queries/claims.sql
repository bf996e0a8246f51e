-- The claims of write_payments, by the plainest statement there is. See floor.go.
INSERT INTO commands (
    tenant, command, idempotency_key, conflict_hash, payload_hash, payment_id, version, operation_id, outcome)
SELECT
    c.tenant, c.command, c.idempotency_key, c.conflict_hash, c.payload_hash, c.payment_id, c.version, c.operation_id, c.outcome
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::uuid[], $7::bigint[], $8::text[], $9::text[]
) AS c (
    tenant, command, idempotency_key, conflict_hash, payload_hash, payment_id, version, operation_id, outcome)
