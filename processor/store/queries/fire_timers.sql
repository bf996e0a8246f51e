-- Takes what is due from under other schedulers' hands, and puts it off until its lease ends: what firing leads to
-- changes the timer, and if it leads to nothing the timer fires again. The rows are updated where they were found, since
-- a join by key could become one over the whole table. Nothing fires before its time by the database's clock: a scheduler
-- whose own clock is ahead would put off what it fires to a time that is long in coming.
UPDATE timers t
SET fire_at = least($1::timestamptz, now()) + $3::interval, fired = t.fired + 1
WHERE t.ctid = ANY (ARRAY(
    SELECT d.ctid
    FROM timers d
    WHERE d.fire_at <= least($1::timestamptz, now())
    ORDER BY d.fire_at
    LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
))
RETURNING t.payment_id, t.kind, t.tenant, t.due_at, t.fire_at, t.fired
