-- What payments wait for without anyone asking: timers that are due before the horizon, and calls under way.
SELECT w.payment_id, w.tenant, w.what, w.since
FROM (
    SELECT t.payment_id, t.tenant, 'timer ' || t.kind AS what, t.due_at AS since FROM timers t WHERE t.due_at < $1::timestamptz
    UNION ALL
    SELECT p.payment_id, p.tenant, 'call', p.awaiting_since FROM payments p WHERE p.awaiting_since IS NOT NULL
) w
ORDER BY w.since
LIMIT $2::bigint
