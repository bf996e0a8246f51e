-- The rows, columns and indexes for reading that Tender writes for a payment. Left out, in the peer's favour: partitions, the
-- triggers against changes, CHECK constraints and the indexes that serve Tender's own timers and checkpoints.

CREATE TABLE payments (
    payment_id         uuid        NOT NULL PRIMARY KEY,
    version            bigint      NOT NULL,
    amount_minor       bigint      NOT NULL,
    authorized_minor   bigint      NOT NULL,
    captured_minor     bigint      NOT NULL,
    refundable_minor   bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    exponent           smallint    NOT NULL,
    tenant             text        NOT NULL,
    status             text        NOT NULL,
    currency           text        NOT NULL,
    capture_method     text        NOT NULL,
    customer_id        text        NOT NULL,
    merchant_reference text        NOT NULL,
    gateway            text        NOT NULL,
    gateway_reference  text        NOT NULL,
    state              json        NOT NULL
);
CREATE INDEX payments_by_time ON payments (tenant, created_at, payment_id);
CREATE INDEX payments_by_status ON payments (tenant, status, created_at, payment_id);
CREATE INDEX payments_by_customer ON payments (tenant, customer_id, created_at, payment_id) WHERE customer_id <> '';
CREATE INDEX payments_by_reference ON payments (tenant, merchant_reference, created_at, payment_id) WHERE merchant_reference <> '';

CREATE TABLE payment_events (
    payment_id  uuid        NOT NULL,
    version     bigint      NOT NULL,
    occurred_at timestamptz NOT NULL,
    type        text        NOT NULL,
    traceparent text        NOT NULL,
    data        json        NOT NULL,
    PRIMARY KEY (payment_id, version)
);

CREATE TABLE commands (
    tenant          text        NOT NULL,
    command         text        NOT NULL,
    idempotency_key text        NOT NULL,
    payload_hash    bytea       NOT NULL,
    payment_id      uuid        NOT NULL,
    version         bigint      NOT NULL,
    operation_id    text        NOT NULL,
    outcome         text        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, command, idempotency_key)
);
