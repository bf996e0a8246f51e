-- The hash of one event, as messages.EventHash has it.
SELECT sha256(convert_to(e.traceparent || E'\n' || e.data::text, 'UTF8'))
FROM payment_events e
WHERE e.payment_id = $1::uuid AND e.version = $2::bigint
