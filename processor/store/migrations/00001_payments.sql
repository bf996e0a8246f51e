-- +goose Up

-- One row for each payment: the read model beside the state it is derived from. Only the state is needed to go on
-- with a payment; the other columns are for lists, reports and people.
CREATE TABLE payments (
    payment_id        uuid        NOT NULL PRIMARY KEY,
    version           bigint      NOT NULL,
    -- The version that the latest change was decided on. A change is written only where it finds that version.
    previous_version  bigint      NOT NULL,
    amount_minor      bigint      NOT NULL,
    authorized_minor  bigint      NOT NULL,
    captured_minor    bigint      NOT NULL,
    refunded_minor    bigint      NOT NULL,
    released_minor    bigint      NOT NULL,
    capturable_minor  bigint      NOT NULL,
    refundable_minor  bigint      NOT NULL,
    -- Null while the history holds refusals only (status none): such a payment is in no list.
    created_at        timestamptz,
    updated_at        timestamptz NOT NULL,
    -- Since when the oldest call to a gateway has been without an answer; null if no call is under way.
    awaiting_since    timestamptz,
    exponent          smallint    NOT NULL,
    tenant            text        NOT NULL,
    status            text        NOT NULL,
    currency          text        NOT NULL,
    capture_method    text        NOT NULL,
    customer_id       text        NOT NULL,
    merchant_reference text       NOT NULL,
    gateway           text        NOT NULL,
    gateway_reference text        NOT NULL,
    failure_code      text        NOT NULL,
    -- json and not jsonb: read whole, never searched, and cheaper to write.
    state             json        NOT NULL,

    CONSTRAINT payments_version CHECK (previous_version >= 0 AND version > previous_version),
    CONSTRAINT payments_created CHECK ((status = 'none') = (created_at IS NULL)),
    CONSTRAINT payments_limits CHECK (
        authorized_minor BETWEEN 0 AND amount_minor
        AND captured_minor >= 0 AND released_minor >= 0 AND capturable_minor >= 0
        AND captured_minor + released_minor + capturable_minor <= authorized_minor
        AND refunded_minor >= 0 AND refundable_minor >= 0
        AND refunded_minor + refundable_minor <= captured_minor)
) WITH (
    -- Every payment is updated a few times soon after its insert and then hardly ever. By the default share of a fifth
    -- a large table would be vacuumed after months.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);

-- For lists, read backwards from the newest.
CREATE INDEX payments_by_time ON payments (tenant, created_at, payment_id) WHERE created_at IS NOT NULL;
CREATE INDEX payments_by_status ON payments (tenant, status, created_at, payment_id) WHERE created_at IS NOT NULL;
CREATE INDEX payments_by_customer ON payments (tenant, customer_id, created_at, payment_id)
    WHERE created_at IS NOT NULL AND customer_id <> '';
CREATE INDEX payments_by_reference ON payments (tenant, merchant_reference, created_at, payment_id)
    WHERE created_at IS NOT NULL AND merchant_reference <> '';
-- For the sweep of abandoned calls.
CREATE INDEX payments_awaiting ON payments (awaiting_since) WHERE awaiting_since IS NOT NULL;

-- The history, and the truth: folding a payment's events gives its row in payments. Append-only.
CREATE TABLE payment_events (
    payment_id  uuid        NOT NULL,
    version     bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    type        text        NOT NULL,
    -- Travels in the headers of the published message, not in its body; empty if there is none.
    traceparent text        NOT NULL,
    -- Exactly the bytes of the body that is published, which json keeps and jsonb would not.
    data        json        NOT NULL,

    PRIMARY KEY (payment_id, version),
    CONSTRAINT payment_events_version CHECK (version > 0)
);

-- The serving role has no right to do any of this; the trigger stops the owner and the superuser from doing it by
-- mistake. Inserts don't meet it.
-- +goose StatementBegin
CREATE FUNCTION payment_events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment_events is append-only: % refused', TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Corrections are further events.';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_events
    FOR EACH STATEMENT EXECUTE FUNCTION payment_events_are_append_only();

-- Which commands were answered. The claim of a key has an empty conflict_hash; the refusal of a later command that
-- used the same key for something else is claimed beside it under that command's own hash, so that its redelivery
-- isn't refused a second time.
CREATE TABLE commands (
    tenant          text        NOT NULL,
    command         text        NOT NULL,
    idempotency_key text        NOT NULL,
    conflict_hash   bytea       NOT NULL DEFAULT '',
    payload_hash    bytea       NOT NULL,
    payment_id      uuid        NOT NULL,
    -- The version of the payment with the answer.
    version         bigint      NOT NULL,
    -- The operation that the command started; empty if it started none.
    operation_id    text        NOT NULL,
    outcome         text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),

    PRIMARY KEY (tenant, command, idempotency_key, conflict_hash),
    CONSTRAINT commands_key CHECK (idempotency_key <> ''),
    CONSTRAINT commands_hash CHECK (octet_length(payload_hash) = 32),
    CONSTRAINT commands_outcome CHECK (outcome IN ('accepted', 'rejected'))
);

-- When payments need attention without anyone asking. Everything here can be derived from payments.
--   due    what the payment's own state asks for: a retry, a check, an expiry; written with each change
--   stale  an abandoned call to a gateway; written by the sweep
CREATE TABLE timers (
    payment_id uuid        NOT NULL,
    kind       text        NOT NULL,
    tenant     text        NOT NULL,
    due_at     timestamptz NOT NULL,
    -- The gateway that the payment waits for because it could not be reached; empty if the payment waits for a time only.
    gateway    text        NOT NULL DEFAULT '',
    -- The gateway answers again: what is parked is tried now, before due_at.
    try_now    boolean     NOT NULL DEFAULT false,
    -- due_at, or earlier if try_now is set, or the earliest time to fire again if firing led to nothing.
    fire_at    timestamptz NOT NULL,
    fired      integer     NOT NULL DEFAULT 0,
    -- The place in the outbox of the resume command that was fired and is not known to be handled; null if there is none.
    -- A timer with a place does not fire.
    resume_partition smallint,
    resume_id        bigint,
    -- The last sequence of the stream of commands, noted after the resume had left the outbox: the resume lies at or
    -- below it. Null until then.
    resume_before    bigint,

    PRIMARY KEY (payment_id, kind),
    CONSTRAINT timers_kind CHECK (kind IN ('due', 'stale')),
    CONSTRAINT timers_resume CHECK (
        (resume_partition IS NULL) = (resume_id IS NULL) AND (resume_before IS NULL OR resume_id IS NOT NULL))
) WITH (
    -- Rows come and go: keep the scan for the earliest from wading through dead ones.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000
);

-- How often workers have begun a command that was delivered again. A delivery that no worker began counts towards no
-- limit, and the server counts those as well.
CREATE TABLE redeliveries (
    -- Place and time of the command in its stream: a stream that is made anew counts anew.
    command    text        NOT NULL PRIMARY KEY,
    begun      integer     NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX timers_by_time ON timers (fire_at) WHERE resume_id IS NULL;
-- For the timers that were fired: those whose resume may still be in the outbox, and those whose resume is in the stream.
CREATE INDEX timers_fired ON timers (fire_at) WHERE resume_id IS NOT NULL AND resume_before IS NULL;
CREATE INDEX timers_published ON timers (resume_before) WHERE resume_before IS NOT NULL;
-- For a gateway that answers again.
CREATE INDEX timers_parked ON timers (gateway, payment_id) WHERE gateway <> '' AND NOT try_now AND resume_id IS NULL;
-- For the sweep, which looks for its own rows among very many that wait for an expiry.
CREATE INDEX timers_stale ON timers (payment_id) WHERE kind = 'stale';
