-- Payments with a call to a gateway under way and no timer, so that only a command can bring them on.
SELECT p.payment_id, p.version, p.awaiting_since
FROM payments p
WHERE p.awaiting_since IS NOT NULL AND ($1::uuid[] IS NULL OR p.payment_id = ANY ($1))
  AND NOT EXISTS (SELECT FROM timers t WHERE t.payment_id = p.payment_id)
