-- +goose Up

-- The history is cut into a partition for each quarter, so that its indexes stay of a size that fits into memory and an old
-- quarter can be put onto other storage. It is cut by payment id and not by the time of the event, since everything that
-- reads it knows the id: ids of UUID version 7 begin with the time they were made at, and a payment's events stay together.
--
-- payments and commands stay in one piece. Every statement of the pipeline looks them up by key, and a plan made once for
-- any key locks every partition there is. And neither forgets: a key has to stand for as long as the payment that it guards.
ALTER TABLE payment_events RENAME TO payment_events_unpartitioned;
ALTER INDEX payment_events_pkey RENAME TO payment_events_unpartitioned_pkey;

-- One position for each event, rising with the time it was asked for. They are committed in another order, and what is rolled
-- back leaves a gap. CACHE 1, the default: each position is given out after all lower ones.
CREATE SEQUENCE payment_events_position AS bigint CACHE 1;

CREATE TABLE payment_events (
    payment_id  uuid        NOT NULL,
    version     bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    type        text        NOT NULL,
    -- Travels in the headers of the published message, not in its body; empty if there is none.
    traceparent text        NOT NULL,
    -- Exactly the bytes of the body that is published, which json keeps and jsonb would not.
    data        json        NOT NULL,
    -- What was recorded between two checkpoints is what lies between two positions.
    position    bigint      NOT NULL DEFAULT nextval('payment_events_position'),

    PRIMARY KEY (payment_id, version),
    CONSTRAINT payment_events_version CHECK (version > 0),
    CONSTRAINT payment_events_place CHECK (position > 0)
) PARTITION BY RANGE (payment_id);

ALTER SEQUENCE payment_events_position OWNED BY payment_events.position;

-- Rows lie in about the order of their positions, so a few bytes for each half megabyte of them do. Summarized as the table
-- grows: what is not would be read by every checkpoint.
CREATE INDEX payment_events_by_position ON payment_events USING brin (position)
    WITH (pages_per_range = 64, autosummarize = on);

-- The serving role has no right to do any of this, and none at all to a partition by its own name; the triggers stop the owner
-- and the superuser from doing it by mistake. Those for rows are copied to every partition, since one for statements would
-- not notice who names a partition. Inserts don't meet them.
-- +goose StatementBegin
CREATE FUNCTION is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Corrections are further events.';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON payment_events FOR EACH ROW EXECUTE FUNCTION is_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON payment_events FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

-- The lowest id of version 7 that could be made at a time.
CREATE FUNCTION payment_events_bound(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- Ids that don't begin with a time, such as those of version 4, spread over all there are: of a hundred one lies before 2025,
-- and all but one of the rest after 2045. What lies between and has no quarter goes to the default partition, so that no event
-- is ever refused for want of one.
CREATE TABLE payment_events_default PARTITION OF payment_events DEFAULT;
CREATE TABLE payment_events_early (LIKE payment_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
CREATE TABLE payment_events_random (LIKE payment_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)
    PARTITION BY HASH (payment_id);
CREATE TABLE payment_events_random_0 PARTITION OF payment_events_random FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE payment_events_random_1 PARTITION OF payment_events_random FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE payment_events_random_2 PARTITION OF payment_events_random FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE payment_events_random_3 PARTITION OF payment_events_random FOR VALUES WITH (MODULUS 4, REMAINDER 3);

-- +goose StatementBegin
DO $$
DECLARE
    part text;
BEGIN
    EXECUTE format('ALTER TABLE payment_events ATTACH PARTITION payment_events_early FOR VALUES FROM (MINVALUE) TO (%L)',
        payment_events_bound('2025-01-01 00:00:00Z'));
    EXECUTE format('ALTER TABLE payment_events ATTACH PARTITION payment_events_random FOR VALUES FROM (%L) TO (MAXVALUE)',
        payment_events_bound('2045-01-01 00:00:00Z'));
    FOREACH part IN ARRAY ARRAY['default', 'early', 'random', 'random_0', 'random_1', 'random_2', 'random_3'] LOOP
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION is_append_only()',
            'payment_events_' || part);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- Makes the partition of the quarter (UTC) that a time lies in, and moves what is in the default partition and belongs there.
-- False if it is there already. It is attached rather than created in its place: then only writes to the default partition,
-- which there should be none of, wait for it.
-- +goose StatementBegin
CREATE FUNCTION payment_events_ensure_quarter(at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamp := date_trunc('quarter', at AT TIME ZONE 'UTC');
    lower_id  uuid := payment_events_bound(first_day AT TIME ZONE 'UTC');
    upper_id  uuid := payment_events_bound((first_day + interval '3 months') AT TIME ZONE 'UTC');
    quarter   text := 'payment_events_' || to_char(first_day, 'YYYY"q"Q');
BEGIN
    IF to_regclass(quote_ident(quarter)) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE ONLY payment_events IN SHARE UPDATE EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE payment_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES) '
        -- Rows are only ever added: vacuum freezes them, and sums up what the index on positions has not. By the default share
        -- of a fifth it would come to a large partition a few times in all.
        'WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)', quarter);
    LOCK TABLE payment_events_default IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM payment_events_default d WHERE d.payment_id >= lower_id AND d.payment_id < upper_id) THEN
        EXECUTE format('INSERT INTO %I SELECT d.* FROM payment_events_default d WHERE d.payment_id >= %L AND d.payment_id < %L',
            quarter, lower_id, upper_id);
        ALTER TABLE payment_events_default DISABLE TRIGGER append_only;
        DELETE FROM payment_events_default d WHERE d.payment_id >= lower_id AND d.payment_id < upper_id;
        ALTER TABLE payment_events_default ENABLE TRIGGER append_only;
    END IF;
    EXECUTE format('ALTER TABLE payment_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', quarter, lower_id, upper_id);
    EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION is_append_only()',
        quarter);
    RETURN true;
END
$$;
-- +goose StatementEnd

-- What is there is copied, in the order in which it lies. Writers wait meanwhile.
SET LOCAL synchronize_seqscans = off;

-- +goose StatementBegin
DO $$
DECLARE
    first_day timestamp;
    held record;
BEGIN
    FOR first_day IN SELECT q.at FROM generate_series('2025-01-01'::timestamp, now() AT TIME ZONE 'UTC', '3 months') AS q (at)
        WHERE EXISTS (SELECT FROM payment_events_unpartitioned e
            WHERE e.payment_id >= payment_events_bound(q.at AT TIME ZONE 'UTC')
              AND e.payment_id < payment_events_bound((q.at + interval '3 months') AT TIME ZONE 'UTC'))
    LOOP
        PERFORM payment_events_ensure_quarter(first_day AT TIME ZONE 'UTC');
    END LOOP;
    INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data)
    SELECT e.payment_id, e.version, e.occurred_at, e.type, e.traceparent, e.data FROM payment_events_unpartitioned e;
    -- The previous version goes on serving on the new table, which it is to notice nothing of.
    FOR held IN SELECT a.privilege_type AS what, COALESCE(quote_ident(r.rolname), 'PUBLIC') AS who
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'payment_events_unpartitioned'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON payment_events TO %s', held.what, held.who);
        IF held.what = 'INSERT' THEN
            EXECUTE format('GRANT USAGE, SELECT ON SEQUENCE payment_events_position TO %s', held.who);
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

DROP TABLE payment_events_unpartitioned;
DROP FUNCTION payment_events_are_append_only();
