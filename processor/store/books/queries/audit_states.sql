SELECT p.payment_id, p.state FROM payments p WHERE $1::uuid[] IS NULL OR p.payment_id = ANY ($1)
