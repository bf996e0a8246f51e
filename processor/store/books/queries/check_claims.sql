-- The claims with something wrong about them, and what, among the next 2000 after one, of all payments or of one. The
-- lookups are limited to one row each so that the planner can't turn them into joins over whole tables. An operation is looked
-- for as text first, as Go writes it (metadata can't look like it: Go sorts its keys): taking the state apart costs ten times that.
SELECT c.payment_id, c.command, c.idempotency_key, w.problem
FROM (
    SELECT q.tenant, q.command, q.idempotency_key, q.conflict_hash, q.payment_id, q.version, q.operation_id, q.outcome
    FROM commands q
    WHERE (q.tenant, q.command, q.idempotency_key, q.conflict_hash) > ($1::text, $2::text, $3::text, $4::bytea)
    ORDER BY q.tenant, q.command, q.idempotency_key, q.conflict_hash
    LIMIT 2000
) c
LEFT JOIN LATERAL (
    SELECT q.payment_id, q.tenant, q.state FROM payments q WHERE q.payment_id = c.payment_id LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT q.version, q.type FROM payment_events q WHERE q.payment_id = c.payment_id AND q.version = c.version LIMIT 1
) e ON true
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN p.payment_id IS NULL THEN 'its payment does not exist'
        WHEN p.tenant <> c.tenant THEN 'its payment is another tenant''s'
        WHEN e.version IS NULL THEN 'it was answered by an event that does not exist'
        WHEN (e.type = 'command.rejected') <> (c.outcome = 'rejected') THEN 'it is recorded as ' || c.outcome || ', its event is ' || e.type
        WHEN c.operation_id <> '' AND strpos(p.state::text, '{"operation_id":"' || c.operation_id || '","kind":') = 0 AND NOT EXISTS (
            SELECT FROM json_array_elements(p.state -> 'operations') o WHERE o ->> 'operation_id' = c.operation_id)
            THEN 'it started operation ' || c.operation_id || ', which does not exist'
        WHEN c.conflict_hash <> '' AND NOT EXISTS (
            SELECT FROM commands first
            WHERE first.tenant = c.tenant AND first.command = c.command AND first.idempotency_key = c.idempotency_key
              AND first.conflict_hash = '')
            THEN 'it conflicts with a claim that does not exist'
    END AS problem
) w
WHERE w.problem IS NOT NULL AND ($5::uuid IS NULL OR c.payment_id = $5)
