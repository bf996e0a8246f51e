-- What write_payments writes for new payments, by the plainest statement there is. See floor.go.
INSERT INTO payments (
    payment_id, previous_version, version, tenant, status,
    amount_minor, authorized_minor, captured_minor, refunded_minor, released_minor,
    capturable_minor, refundable_minor, currency, exponent, capture_method,
    customer_id, merchant_reference, gateway, gateway_reference, failure_code,
    created_at, updated_at, awaiting_since, state)
SELECT
    c.payment_id, c.previous_version, c.version, c.tenant, c.status,
    c.amount_minor, c.authorized_minor, c.captured_minor, c.refunded_minor, c.released_minor,
    c.capturable_minor, c.refundable_minor, c.currency, c.exponent, c.capture_method,
    c.customer_id, c.merchant_reference, c.gateway, c.gateway_reference, c.failure_code,
    c.created_at, c.updated_at, c.awaiting_since, c.state
FROM unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[],
    $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
    $11::bigint[], $12::bigint[], $13::text[], $14::smallint[], $15::text[],
    $16::text[], $17::text[], $18::text[], $19::text[], $20::text[],
    $21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::json[]
) AS c (
    payment_id, previous_version, version, tenant, status,
    amount_minor, authorized_minor, captured_minor, refunded_minor, released_minor,
    capturable_minor, refundable_minor, currency, exponent, capture_method,
    customer_id, merchant_reference, gateway, gateway_reference, failure_code,
    created_at, updated_at, awaiting_since, state)
