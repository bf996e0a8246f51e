SELECT count(*)
FROM outbox o
WHERE ($1::text = '' OR o.ordering_key = $1)
  AND (o.partition, o.id) > ($2::smallint, $3::bigint) AND (o.partition, o.id) <= ($4::smallint, $5::bigint)
