SELECT p.state FROM payments p WHERE p.payment_id = $1::uuid AND ($2::text = '' OR p.tenant = $2)
