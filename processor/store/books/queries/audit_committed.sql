-- The events that belong on the bus: all but operation.*
SELECT e.payment_id, e.version
FROM payment_events e
WHERE e.type NOT LIKE 'operation.%' AND ($1::timestamptz IS NULL OR e.occurred_at >= $1)
