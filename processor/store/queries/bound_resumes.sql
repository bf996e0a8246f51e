-- Notes the sequence that the resumes of timers lie at or below, unless the timers were fired again or set anew meanwhile.
UPDATE timers t
SET resume_before = $1::bigint
FROM unnest($2::uuid[], $3::text[], $4::smallint[], $5::bigint[]) AS r (payment_id, kind, partition, id)
WHERE t.payment_id = r.payment_id AND t.kind = r.kind
  AND t.resume_partition = r.partition AND t.resume_id = r.id AND t.resume_before IS NULL
