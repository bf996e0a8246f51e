-- Operations that more than one command claims to have started, of all payments or of one.
SELECT min(c.payment_id::text)::uuid, c.operation_id, count(*)
FROM commands c
WHERE c.operation_id <> '' AND ($1::uuid IS NULL OR c.payment_id = $1)
GROUP BY c.operation_id
HAVING count(*) > 1
