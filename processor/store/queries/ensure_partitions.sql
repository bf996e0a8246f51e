-- Makes the partitions of a quarter and of so many after it, and returns how many there were not.
SELECT count(*) FILTER (WHERE payment_events_ensure_quarter(q.at AT TIME ZONE 'UTC'))
FROM (
    SELECT date_trunc('quarter', COALESCE($1::timestamptz, now()) AT TIME ZONE 'UTC') + n * interval '3 months' AS at
    FROM generate_series(0, $2::integer) AS n
) q
