SELECT t.payment_id, t.kind, t.tenant, t.due_at, t.fire_at, t.fired, t.gateway, t.try_now
FROM timers t
WHERE t.payment_id BETWEEN $1::uuid AND $2::uuid
