INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data)
SELECT e.payment_id, e.version, e.occurred_at, e.type, e.traceparent, e.data
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::json[])
    AS e (payment_id, version, occurred_at, type, traceparent, data)
