-- Why payments are in review. The events are looked for within each payment, so that no other's are read.
SELECT e.payment_id, e.data, e.traceparent
FROM unnest($1::uuid[]) AS p (payment_id)
CROSS JOIN LATERAL (
    SELECT q.payment_id, q.version, q.data, q.traceparent
    FROM payment_events q
    WHERE q.payment_id = p.payment_id AND q.type = 'payment.review_opened'
    OFFSET 0
) e
ORDER BY e.payment_id, e.version
