-- Writes the changes that find the version they were decided on, and claims the idempotency keys of those.
--
-- The rows come in the order of their ids, so that no two batches wait for each other. ON CONFLICT finds them through
-- the primary key also against the planner, and compares with the latest committed version. A change
-- that loses is not in the result; a claim that loses isn't either, while its change is.
--
-- A change after version 0 only inserts: no row has version 0. Any other only updates: a row that is not there was lost
-- in a failover of the database. Rows of payments are never deleted, so one that the decision was made on is visible to
-- the statement's snapshot, or gone. The lookup is limited to one row so that the planner cannot turn it into a join.
WITH written AS (
    INSERT INTO payments (
        payment_id, previous_version, version, tenant, status,
        amount_minor, authorized_minor, captured_minor, refunded_minor, released_minor,
        capturable_minor, refundable_minor, currency, exponent, capture_method,
        customer_id, merchant_reference, gateway, gateway_reference, failure_code,
        created_at, updated_at, awaiting_since, state)
    SELECT
        c.payment_id, c.previous_version, c.version, c.tenant, c.status,
        c.amount_minor, c.authorized_minor, c.captured_minor, c.refunded_minor, c.released_minor,
        c.capturable_minor, c.refundable_minor, c.currency, c.exponent, c.capture_method,
        c.customer_id, c.merchant_reference, c.gateway, c.gateway_reference, c.failure_code,
        c.created_at, c.updated_at, c.awaiting_since, c.state
    FROM unnest(
        $1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[],
        $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
        $11::bigint[], $12::bigint[], $13::text[], $14::smallint[], $15::text[],
        $16::text[], $17::text[], $18::text[], $19::text[], $20::text[],
        $21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::json[]
    ) WITH ORDINALITY AS c (
        payment_id, previous_version, version, tenant, status,
        amount_minor, authorized_minor, captured_minor, refunded_minor, released_minor,
        capturable_minor, refundable_minor, currency, exponent, capture_method,
        customer_id, merchant_reference, gateway, gateway_reference, failure_code,
        created_at, updated_at, awaiting_since, state, position)
    WHERE c.previous_version = 0
       OR (SELECT p.version FROM payments p WHERE p.payment_id = c.payment_id LIMIT 1) IS NOT NULL
    ORDER BY c.position
    ON CONFLICT (payment_id) DO UPDATE SET
        previous_version = excluded.previous_version,
        version = excluded.version,
        status = excluded.status,
        amount_minor = excluded.amount_minor,
        authorized_minor = excluded.authorized_minor,
        captured_minor = excluded.captured_minor,
        refunded_minor = excluded.refunded_minor,
        released_minor = excluded.released_minor,
        capturable_minor = excluded.capturable_minor,
        refundable_minor = excluded.refundable_minor,
        currency = excluded.currency,
        exponent = excluded.exponent,
        capture_method = excluded.capture_method,
        customer_id = excluded.customer_id,
        merchant_reference = excluded.merchant_reference,
        gateway = excluded.gateway,
        gateway_reference = excluded.gateway_reference,
        failure_code = excluded.failure_code,
        created_at = excluded.created_at,
        updated_at = excluded.updated_at,
        awaiting_since = excluded.awaiting_since,
        state = excluded.state
    WHERE payments.version = excluded.previous_version AND payments.tenant = excluded.tenant
    RETURNING payment_id
), claimed AS (
    INSERT INTO commands (
        tenant, command, idempotency_key, conflict_hash, payload_hash, payment_id, version, operation_id, outcome)
    SELECT
        c.tenant, c.command, c.idempotency_key, c.conflict_hash, c.payload_hash, c.payment_id, c.version, c.operation_id,
        c.outcome
    FROM unnest(
        $25::text[], $26::text[], $27::text[], $28::bytea[], $29::bytea[], $30::uuid[], $31::bigint[], $32::text[],
        $33::text[]
    ) WITH ORDINALITY AS c (
        tenant, command, idempotency_key, conflict_hash, payload_hash, payment_id, version, operation_id, outcome, position)
    -- IS TRUE keeps this a hashed lookup; as a plain IN it could become a loop over a loop.
    WHERE (c.payment_id IN (SELECT w.payment_id FROM written w)) IS TRUE
    ORDER BY c.position
    ON CONFLICT (tenant, command, idempotency_key, conflict_hash) DO NOTHING
    RETURNING payment_id
)
SELECT w.payment_id, false AS is_claim FROM written w
UNION ALL
SELECT c.payment_id, true FROM claimed c
UNION ALL
-- Where it is said how many payments and claims there have to be, the statement fails by dividing by zero if there are fewer.
SELECT NULL, 1 = 1 / CASE
        WHEN (SELECT count(*) FROM written) = $34::bigint AND (SELECT count(*) FROM claimed) = $35::bigint THEN 1
        ELSE 0
    END
WHERE $34::bigint IS NOT NULL
