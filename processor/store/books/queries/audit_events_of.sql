-- The events of one payment.
SELECT e.version, e.type, e.occurred_at, COALESCE(e.data ->> 'tenant', '')
FROM payment_events e
WHERE e.payment_id = $1::uuid
ORDER BY e.version
