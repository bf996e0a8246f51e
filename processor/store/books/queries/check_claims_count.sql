-- How many claims check_claims.sql looks at.
SELECT count(*)
FROM (
    SELECT 1
    FROM commands c
    WHERE (c.tenant, c.command, c.idempotency_key, c.conflict_hash) > ($1::text, $2::text, $3::text, $4::bytea)
      AND ($5::uuid IS NULL OR c.payment_id = $5)
    ORDER BY c.tenant, c.command, c.idempotency_key, c.conflict_hash
    LIMIT 2000
) piece
