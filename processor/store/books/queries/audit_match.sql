-- Which of the events in the arguments are not recorded like that, and what about them differs. The lookup is limited to
-- one row so that the planner can't turn it into a join over the whole table.
SELECT r.position, e.same_body IS NOT NULL, COALESCE(e.same_body, false), COALESCE(e.same_trace, false)
FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[])
    WITH ORDINALITY AS r (payment_id, version, body_hash, traceparent, position)
LEFT JOIN LATERAL (
    SELECT sha256(convert_to(q.data::text, 'UTF8')) = r.body_hash AS same_body, q.traceparent = r.traceparent AS same_trace
    FROM payment_events q
    WHERE q.payment_id = r.payment_id AND q.version = r.version
    LIMIT 1
) e ON true
WHERE e.same_body IS NOT TRUE OR e.same_trace IS NOT TRUE
