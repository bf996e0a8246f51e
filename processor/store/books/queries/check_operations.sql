-- The next 5000 claims after one, with the operations that they started.
SELECT c.tenant, c.command, c.idempotency_key, c.conflict_hash, c.payment_id, c.operation_id
FROM commands c
WHERE (c.tenant, c.command, c.idempotency_key, c.conflict_hash) > ($1::text, $2::text, $3::text, $4::bytea)
ORDER BY c.tenant, c.command, c.idempotency_key, c.conflict_hash
LIMIT 5000
