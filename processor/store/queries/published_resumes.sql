-- The fired timers whose lease has ended and whose resume has left the outbox, so that it is in the stream of commands. A row of
-- the outbox is deleted after JetStream has acknowledged its message.
SELECT t.resume_partition, t.resume_id, t.payment_id, t.kind
FROM timers t
WHERE t.resume_id IS NOT NULL AND t.resume_before IS NULL AND t.fire_at <= least($1::timestamptz, now())
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.partition = t.resume_partition AND o.id = t.resume_id)
ORDER BY t.fire_at
LIMIT $2::bigint
