-- The outbox, version 1. Run once, in the schema (search_path) that holds the writers' own tables.

CREATE TABLE outbox (
    partition     smallint    NOT NULL CHECK (partition BETWEEN 0 AND 7),  -- fnv1a32(ordering_key) mod 8
    id            bigint      GENERATED ALWAYS AS IDENTITY,                -- order within a key
    subject       text        NOT NULL CHECK (subject <> ''),
    message_id    text        NOT NULL CHECK (message_id <> ''),           -- published as Nats-Msg-Id
    ordering_key  text        NOT NULL CHECK (ordering_key <> ''),
    header        json        NOT NULL DEFAULT '{}',                       -- name -> value
    payload       bytea       NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    parked_at     timestamptz,
    parked_reason text,
    PRIMARY KEY (partition, id),
    CHECK ((parked_at IS NULL) = (parked_reason IS NULL))
) WITH (
    -- Every row is inserted, read once and deleted. Vacuum early and without pauses, by count and not by a share of
    -- the table, so that the scan for the oldest rows does not wade through dead ones.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000
);

-- A row lives for milliseconds: compressing what does not fit in a page is wasted work.
ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL;

-- Answers "is there an earlier parked row of this key?"; nearly always empty.
CREATE INDEX outbox_parked ON outbox (ordering_key, id) WHERE parked_at IS NOT NULL;

-- One row for each partition. While asleep is true, writers wake the partition's owner with NOTIFY; while it is
-- false the owner polls so often that a notification would only cost the writers their concurrency.
CREATE TABLE outbox_partition (
    partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 7),
    asleep    boolean  NOT NULL DEFAULT true
);
INSERT INTO outbox_partition (partition) SELECT generate_series(0, 7);
