SELECT p.payment_id, p.state FROM payments p
