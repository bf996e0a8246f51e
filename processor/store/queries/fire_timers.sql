-- Takes what is due from under other schedulers' hands. Nothing fires before its time by the database's clock: a scheduler
-- whose own clock is ahead would put off what it fires to a time that is long in coming. A timer whose resume may still
-- wait is not among them.
SELECT t.payment_id, t.kind, t.tenant, t.due_at, t.fire_at, t.fired, t.gateway, t.try_now
FROM timers t
WHERE t.resume_id IS NULL AND t.fire_at <= least($1::timestamptz, now())
ORDER BY t.fire_at
LIMIT $2::bigint
FOR UPDATE SKIP LOCKED
