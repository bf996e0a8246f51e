-- What became of every command that was decided, with the event that answered it.
SELECT c.tenant, c.command, c.idempotency_key, c.conflict_hash, c.payload_hash, c.payment_id, c.version, c.operation_id,
       c.outcome, COALESCE(e.type, ''), COALESCE(e.data ->> 'causation_id', '')
FROM commands c
LEFT JOIN payment_events e ON e.payment_id = c.payment_id AND e.version = c.version
WHERE c.tenant = ANY ($1::text[])
