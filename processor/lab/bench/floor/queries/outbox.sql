-- What outbox.Append writes, and which rows it became. See floor.go.
INSERT INTO outbox (partition, subject, message_id, ordering_key, header, payload)
SELECT m.partition, m.subject, m.message_id, m.ordering_key, m.header, m.payload
FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::json[], $6::bytea[])
    AS m (partition, subject, message_id, ordering_key, header, payload)
RETURNING partition, id
