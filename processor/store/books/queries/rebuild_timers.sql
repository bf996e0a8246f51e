-- Removes the timers of payments that don't exist.
DELETE FROM timers t
WHERE t.payment_id = ANY ($1::uuid[]) AND NOT EXISTS (SELECT FROM payments p WHERE p.payment_id = t.payment_id)
