-- Forgets the sweeps that led to something.
DELETE FROM timers t
WHERE t.kind = 'stale'
  AND NOT EXISTS (
      SELECT FROM payments p WHERE p.payment_id = t.payment_id AND p.awaiting_since < $1::timestamptz)
