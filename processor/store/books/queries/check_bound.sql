SELECT p.payment_id FROM payments p WHERE p.payment_id >= $1::uuid ORDER BY p.payment_id OFFSET $2::bigint LIMIT 1
