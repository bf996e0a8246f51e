SELECT e.payment_id, e.version, e.occurred_at, e.type, e.traceparent, e.data
FROM payment_events e
WHERE e.payment_id = ANY($1::uuid[])
ORDER BY e.payment_id, e.version
