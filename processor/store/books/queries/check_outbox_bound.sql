-- The last row of the piece of the outbox that follows a row.
SELECT o.partition, o.id FROM outbox o WHERE (o.partition, o.id) > ($1::smallint, $2::bigint) ORDER BY o.partition, o.id OFFSET 1999 LIMIT 1
