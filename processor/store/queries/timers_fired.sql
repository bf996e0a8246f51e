-- Notes where the resumes of timers went into the outbox. They may fire again when the lease ends, at the earliest. The
-- transaction holds the rows since it took them.
UPDATE timers t
SET fire_at = least($1::timestamptz, now()) + $2::interval, fired = t.fired + 1,
    resume_partition = f.partition, resume_id = f.id, resume_before = NULL
FROM unnest($3::uuid[], $4::text[], $5::smallint[], $6::bigint[]) AS f (payment_id, kind, partition, id)
WHERE t.payment_id = f.payment_id AND t.kind = f.kind
