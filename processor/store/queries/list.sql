-- Newest first, from where the last page ended. Without a tenant the tenants are found by hopping through the index, and the
-- newest of each are merged, so that no list reads more than the pages it could show.
WITH RECURSIVE tenants (tenant) AS (
    (SELECT CASE WHEN $1::text <> '' THEN $1
                 ELSE (SELECT p.tenant FROM payments p WHERE p.created_at IS NOT NULL ORDER BY p.tenant LIMIT 1) END)
    UNION ALL
    SELECT (SELECT p.tenant FROM payments p
            WHERE p.created_at IS NOT NULL AND p.tenant > t.tenant ORDER BY p.tenant LIMIT 1)
    FROM tenants t
    WHERE $1 = '' AND t.tenant IS NOT NULL
)
SELECT newest.state
FROM tenants t
CROSS JOIN LATERAL (
    SELECT p.state, p.created_at, p.payment_id
    FROM payments p
    WHERE p.created_at IS NOT NULL
      AND p.tenant = t.tenant
      AND ($2::text = '' OR p.customer_id = $2 AND p.customer_id <> '')
      AND ($3::text = '' OR p.status = $3)
      AND ($4::text = '' OR p.merchant_reference = $4 AND p.merchant_reference <> '')
      AND ($5::timestamptz IS NULL OR p.created_at >= $5)
      AND ($6::timestamptz IS NULL OR p.created_at < $6)
      AND ($7::timestamptz IS NULL OR (p.created_at, p.payment_id) < ($7, $8::uuid))
    ORDER BY p.created_at DESC, p.payment_id DESC
    LIMIT $9::bigint
) newest
ORDER BY newest.created_at DESC, newest.payment_id DESC
LIMIT $9
