INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at)
SELECT p.payment_id, 'stale', p.tenant, $2::timestamptz, $2
FROM payments p
WHERE p.awaiting_since < $1::timestamptz
  AND NOT EXISTS (SELECT FROM timers t WHERE t.payment_id = p.payment_id AND t.kind = 'stale')
ORDER BY p.awaiting_since
LIMIT $3::bigint
ON CONFLICT (payment_id, kind) DO NOTHING
