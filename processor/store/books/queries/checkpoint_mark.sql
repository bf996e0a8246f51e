-- The last position that was given out, and the last that a checkpoint covers.
SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END,
       COALESCE((SELECT c.to_position FROM checkpoints c ORDER BY c.number DESC LIMIT 1), 0)
FROM payment_events_position s
