SELECT p.payment_id, p.previous_version, p.version, p.tenant, p.status,
       p.amount_minor, p.authorized_minor, p.captured_minor, p.refunded_minor, p.released_minor,
       p.capturable_minor, p.refundable_minor, p.currency, p.exponent, p.capture_method,
       p.customer_id, p.merchant_reference, p.gateway, p.gateway_reference, p.failure_code,
       p.created_at, p.updated_at, p.awaiting_since, p.state
FROM payments p
WHERE p.payment_id BETWEEN $1::uuid AND $2::uuid
