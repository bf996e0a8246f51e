-- How many claims check_claims.sql looks at.
SELECT count(*) FILTER (WHERE $5::uuid IS NULL OR piece.payment_id = $5)
FROM (
    SELECT c.payment_id
    FROM commands c
    WHERE (c.tenant, c.command, c.idempotency_key, c.conflict_hash) > ($1::text, $2::text, $3::text, $4::bytea)
    ORDER BY c.tenant, c.command, c.idempotency_key, c.conflict_hash
    LIMIT 2000
) piece
