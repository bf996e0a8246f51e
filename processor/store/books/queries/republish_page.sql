-- Payments with an event in the range, by id: an id is where the next page begins. Payments that ended before the range cost no
-- look at their history; the hour is for clocks of workers that differ.
SELECT p.payment_id, p.tenant, p.version
FROM payments p
WHERE p.payment_id > $1::uuid
  AND (cardinality($5::uuid[]) = 0 OR p.payment_id = ANY($5))
  AND ($2::timestamptz IS NULL OR p.updated_at >= $2 - interval '1 hour')
  AND EXISTS (
    SELECT FROM payment_events e
    WHERE e.payment_id = p.payment_id
      AND ($2 IS NULL OR e.occurred_at >= $2)
      AND ($3::timestamptz IS NULL OR e.occurred_at < $3))
ORDER BY p.payment_id
LIMIT $4::bigint
