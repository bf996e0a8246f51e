-- Brings timers forward to now plus a part of the spread that depends on the payment, so that they do not all fire at once. A
-- timer that would fire earlier keeps its time. A row that was brought forward is not found again.
UPDATE timers t
SET try_now = true,
    fire_at = least(t.fire_at, least($2::timestamptz, now())
        + $3::interval * (('x' || substr(md5(t.payment_id::text), 1, 6))::bit(24)::int / 16777216.0))
WHERE t.ctid = ANY (ARRAY(
    SELECT p.ctid
    FROM timers p
    WHERE p.gateway = $1 AND p.gateway <> '' AND NOT p.try_now AND p.resume_id IS NULL AND p.kind = 'due'
    ORDER BY p.payment_id
    LIMIT $4::bigint
    FOR UPDATE SKIP LOCKED
))
