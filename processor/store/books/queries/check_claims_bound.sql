-- The last claim of the piece that follows a claim.
SELECT c.tenant, c.command, c.idempotency_key, c.conflict_hash
FROM commands c
WHERE (c.tenant, c.command, c.idempotency_key, c.conflict_hash) > ($1::text, $2::text, $3::text, $4::bytea)
ORDER BY c.tenant, c.command, c.idempotency_key, c.conflict_hash
OFFSET 1999 LIMIT 1
