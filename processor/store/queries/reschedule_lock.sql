SELECT FROM payments p WHERE p.tenant = $1 AND p.payment_id = $2 AND p.version = $3 FOR NO KEY UPDATE
