-- Earliest first, from where the last page ended.
SELECT t.payment_id, t.kind, t.tenant, t.due_at, t.fire_at, t.fired, t.gateway, t.try_now
FROM timers t
WHERE ($1::text = '' OR t.tenant = $1)
  AND ($2::text = '' OR t.kind = $2)
  AND ($3::timestamptz IS NULL OR t.due_at < $3)
  AND ($4::timestamptz IS NULL OR (t.fire_at, t.payment_id, t.kind) > ($4, $5::uuid, $6::text))
ORDER BY t.fire_at, t.payment_id, t.kind
LIMIT $7::bigint
