-- Operations that more than one command claims to have started.
SELECT min(c.payment_id::text)::uuid, c.operation_id, count(*)
FROM commands c
WHERE c.operation_id <> ''
GROUP BY c.operation_id
HAVING count(*) > 1
