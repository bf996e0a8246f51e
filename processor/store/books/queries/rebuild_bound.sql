-- The last payment of the chunk that begins at an id, counted by histories: a payment may lack its row.
SELECT e.payment_id
FROM payment_events e
WHERE e.payment_id >= $1::uuid AND e.version = 1
ORDER BY e.payment_id
OFFSET $2::bigint LIMIT 1
