SELECT count(*) FROM outbox o WHERE $1::text = '' OR o.ordering_key = $1
