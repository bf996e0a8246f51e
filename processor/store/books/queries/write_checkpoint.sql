INSERT INTO checkpoints (
    number, from_position, to_position, events, payments, root, previous_hash, created_at, leaves)
VALUES (
    $1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bytea, $7::bytea, $8::timestamptz, $9::bytea)
