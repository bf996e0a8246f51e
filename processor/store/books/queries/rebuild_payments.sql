-- Writes rows that were derived from the history: over the rows that are held ($25), and where there are none. A payment that
-- came to be meanwhile is not in the result.
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
) WITH ORDINALITY AS c (
    payment_id, previous_version, version, tenant, status,
    amount_minor, authorized_minor, captured_minor, refunded_minor, released_minor,
    capturable_minor, refundable_minor, currency, exponent, capture_method,
    customer_id, merchant_reference, gateway, gateway_reference, failure_code,
    created_at, updated_at, awaiting_since, state, position)
ORDER BY c.position
ON CONFLICT (payment_id) DO UPDATE SET
    previous_version = excluded.previous_version,
    version = excluded.version,
    tenant = excluded.tenant,
    status = excluded.status,
    amount_minor = excluded.amount_minor,
    authorized_minor = excluded.authorized_minor,
    captured_minor = excluded.captured_minor,
    refunded_minor = excluded.refunded_minor,
    released_minor = excluded.released_minor,
    capturable_minor = excluded.capturable_minor,
    refundable_minor = excluded.refundable_minor,
    currency = excluded.currency,
    exponent = excluded.exponent,
    capture_method = excluded.capture_method,
    customer_id = excluded.customer_id,
    merchant_reference = excluded.merchant_reference,
    gateway = excluded.gateway,
    gateway_reference = excluded.gateway_reference,
    failure_code = excluded.failure_code,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    awaiting_since = excluded.awaiting_since,
    state = excluded.state
WHERE payments.payment_id = ANY ($25::uuid[])
RETURNING payment_id
