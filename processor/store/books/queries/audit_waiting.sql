-- The events that wait to be published.
SELECT split_part(o.message_id, ':', 1)::uuid, split_part(o.message_id, ':', 2)::bigint
FROM outbox o
WHERE o.subject LIKE 'payments.evt.%' AND o.message_id ~ '^[0-9a-f-]{36}:[0-9]{1,18}$'
