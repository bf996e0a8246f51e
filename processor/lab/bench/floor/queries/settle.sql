-- What write_payments writes for payments that are there, by the plainest statement there is. See floor.go.
UPDATE payments p SET
    previous_version = c.previous_version,
    version = c.version,
    status = c.status,
    amount_minor = c.amount_minor,
    authorized_minor = c.authorized_minor,
    captured_minor = c.captured_minor,
    refunded_minor = c.refunded_minor,
    released_minor = c.released_minor,
    capturable_minor = c.capturable_minor,
    refundable_minor = c.refundable_minor,
    currency = c.currency,
    exponent = c.exponent,
    capture_method = c.capture_method,
    customer_id = c.customer_id,
    merchant_reference = c.merchant_reference,
    gateway = c.gateway,
    gateway_reference = c.gateway_reference,
    failure_code = c.failure_code,
    created_at = c.created_at,
    updated_at = c.updated_at,
    awaiting_since = c.awaiting_since,
    state = c.state
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
WHERE p.payment_id = c.payment_id
