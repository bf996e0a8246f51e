SELECT c.number, c.from_position, c.to_position, c.events, c.payments, c.root, c.previous_hash, c.created_at
FROM checkpoints c
ORDER BY c.number DESC
LIMIT 1
