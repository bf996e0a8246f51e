-- What the history holds between two positions, by checkpoint and payment. The third argument is where the checkpoints begin,
-- so that many small ones are read at once. The hash is that of messages.EventHash.
WITH touched AS (
    SELECT width_bucket(e.position - 1, $3::bigint[]) AS checkpoint, e.payment_id,
           min(e.version) AS first_version, max(e.version) AS last_version, count(*) AS events
    FROM payment_events e
    WHERE e.position > $1::bigint AND e.position <= $2::bigint
    GROUP BY 1, 2
)
SELECT t.checkpoint, t.payment_id, t.first_version, t.last_version, t.events, (
    SELECT sha256(convert_to(l.traceparent || E'\n' || l.data::text, 'UTF8'))
    FROM payment_events l
    WHERE l.payment_id = t.payment_id AND l.version = t.last_version
    LIMIT 1)
FROM touched t
ORDER BY t.checkpoint, t.payment_id
