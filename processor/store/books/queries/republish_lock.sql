-- No session commits to these payments while the transaction lasts.
SELECT p.payment_id, p.version
FROM payments p
WHERE p.payment_id = ANY($1::uuid[])
ORDER BY p.payment_id
FOR NO KEY UPDATE
