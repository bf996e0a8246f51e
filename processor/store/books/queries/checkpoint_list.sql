SELECT c.number, c.from_position, c.to_position, c.events, c.payments, c.root, c.previous_hash, c.created_at,
       EXISTS (SELECT FROM outbox o WHERE o.ordering_key = 'checkpoints' AND o.message_id = 'checkpoint:' || c.number)
FROM checkpoints c
WHERE c.number > $1::bigint
ORDER BY c.number
