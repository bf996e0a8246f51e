-- What the relay writes when it has published. See floor.go.
DELETE FROM outbox o
USING unnest($1::smallint[], $2::bigint[]) AS d (partition, id)
WHERE o.partition = d.partition AND o.id = d.id
