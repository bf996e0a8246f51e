-- What payments wait for without anyone asking: timers that are due before the horizon, and calls under way. The operations that
-- have not settled say why.
SELECT w.payment_id, w.tenant, w.what, w.since, COALESCE((
    SELECT string_agg(concat_ws(' ', o.operation ->> 'kind', o.operation ->> 'status'), ', '
        ORDER BY o.place)
    FROM payments p, json_array_elements(p.state -> 'operations') WITH ORDINALITY o (operation, place)
    WHERE p.payment_id = w.payment_id
      AND o.operation ->> 'status' IN ('sent', 'not_sent', 'unknown', 'pending')
), '') AS operations
FROM (
    SELECT t.payment_id, t.tenant, 'timer ' || t.kind AS what, t.due_at AS since FROM timers t WHERE t.due_at < $1::timestamptz
    UNION ALL
    SELECT p.payment_id, p.tenant, 'call', p.awaiting_since FROM payments p WHERE p.awaiting_since IS NOT NULL
    ORDER BY since
    LIMIT $2::bigint
) w
ORDER BY w.since
