SELECT e.data, e.traceparent
FROM payment_events e
WHERE e.payment_id = $1::uuid
  AND ($2::text = '' OR EXISTS (SELECT FROM payments p WHERE p.payment_id = $1 AND p.tenant = $2))
ORDER BY e.version
