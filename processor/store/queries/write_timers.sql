-- A new time starts afresh: an earlier firing was for another.
INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at)
SELECT t.payment_id, 'due', t.tenant, t.due_at, t.due_at
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS t (payment_id, tenant, due_at)
ON CONFLICT (payment_id, kind) DO UPDATE SET due_at = excluded.due_at, fire_at = excluded.fire_at, fired = 0
