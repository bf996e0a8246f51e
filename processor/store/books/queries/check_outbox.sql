-- Rows of the outbox that wait for too long, are parked, or hold an event that the history does not have: of all payments
-- or of one, among those between two places.
SELECT o.ordering_key, o.message_id, w.invariant, w.detail
FROM outbox o
LEFT JOIN LATERAL (
    SELECT convert_to(q.data::text, 'UTF8') = o.payload AS same
    FROM payment_events q
    WHERE q.payment_id = CASE WHEN o.message_id ~ '^[0-9a-f-]{36}:[0-9]{1,18}$' THEN split_part(o.message_id, ':', 1)::uuid END
      AND q.version = CASE WHEN o.message_id ~ '^[0-9a-f-]{36}:[0-9]{1,18}$' THEN split_part(o.message_id, ':', 2)::bigint END
    LIMIT 1
) e ON true
CROSS JOIN LATERAL (
    SELECT 'outbox_matches_history' AS invariant, 'the history has no such event' AS detail
    WHERE o.subject LIKE 'payments.evt.%' AND e.same IS NULL
    UNION ALL
    SELECT 'outbox_matches_history', 'its body is not that of the event'
    WHERE o.subject LIKE 'payments.evt.%' AND NOT e.same
    UNION ALL
    SELECT 'outbox_parked', 'parked since ' || o.parked_at || ': ' || o.parked_reason
    WHERE o.parked_at IS NOT NULL
    UNION ALL
    SELECT 'outbox_delayed', 'waits since ' || o.created_at
    WHERE o.parked_at IS NULL AND o.created_at < $1::timestamptz
) w
WHERE ($2::text = '' OR o.ordering_key = $2)
  AND (o.partition, o.id) > ($3::smallint, $4::bigint) AND (o.partition, o.id) <= ($5::smallint, $6::bigint)
