-- Claims with something wrong about them, and what.
SELECT c.payment_id, c.command, c.idempotency_key, w.problem
FROM commands c
LEFT JOIN payments p ON p.payment_id = c.payment_id
LEFT JOIN payment_events e ON e.payment_id = c.payment_id AND e.version = c.version
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN p.payment_id IS NULL THEN 'its payment does not exist'
        WHEN p.tenant <> c.tenant THEN 'its payment is another tenant''s'
        WHEN e.version IS NULL THEN 'it was answered by an event that does not exist'
        WHEN (e.type = 'command.rejected') <> (c.outcome = 'rejected') THEN 'it is recorded as ' || c.outcome || ', its event is ' || e.type
        WHEN c.operation_id <> '' AND NOT EXISTS (
            SELECT FROM json_array_elements(p.state -> 'operations') o WHERE o ->> 'operation_id' = c.operation_id)
            THEN 'it started operation ' || c.operation_id || ', which does not exist'
        WHEN c.conflict_hash <> '' AND NOT EXISTS (
            SELECT FROM commands first
            WHERE first.tenant = c.tenant AND first.command = c.command AND first.idempotency_key = c.idempotency_key
              AND first.conflict_hash = '')
            THEN 'it conflicts with a claim that does not exist'
    END AS problem
) w
WHERE w.problem IS NOT NULL
