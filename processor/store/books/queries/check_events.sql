SELECT e.payment_id, e.version, e.occurred_at, e.type, e.traceparent, e.data
FROM payment_events e
WHERE e.payment_id BETWEEN $1::uuid AND $2::uuid
ORDER BY e.payment_id, e.version
