SELECT count(*) FROM payments
