-- A new time starts afresh: an earlier firing was for another.
INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at, gateway)
SELECT t.payment_id, 'due', t.tenant, t.due_at, t.due_at, t.gateway
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[]) AS t (payment_id, tenant, due_at, gateway)
ON CONFLICT (payment_id, kind) DO UPDATE SET due_at = excluded.due_at, fire_at = excluded.fire_at, gateway = excluded.gateway,
    try_now = false, fired = 0, resume_partition = NULL, resume_id = NULL, resume_before = NULL
