-- Holds the payments that are still at the version at which they were read, in the order of their ids, as commits do.
SELECT p.payment_id
FROM payments p
JOIN unnest($1::uuid[], $2::bigint[]) AS g (payment_id, version) ON g.payment_id = p.payment_id
WHERE p.version = g.version
ORDER BY p.payment_id
FOR UPDATE OF p
