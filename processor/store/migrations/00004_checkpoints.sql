-- +goose Up

-- What the history held at moments in the past, each over what was recorded since the one before. See checkpoint.go.
CREATE TABLE checkpoints (
    number        bigint      NOT NULL PRIMARY KEY,
    -- Covered are the events at positions above the first, up to and including the second.
    from_position bigint      NOT NULL,
    to_position   bigint      NOT NULL,
    events        bigint      NOT NULL,
    payments      bigint      NOT NULL,
    created_at    timestamptz NOT NULL,
    root          bytea       NOT NULL,
    -- The hash of the checkpoint before, empty in the first.
    previous_hash bytea       NOT NULL,
    -- The leaves of the tree, 64 bytes each: what makes a difference name its payment.
    leaves        bytea       NOT NULL,

    CONSTRAINT checkpoints_number CHECK (number > 0),
    CONSTRAINT checkpoints_range CHECK (from_position >= 0 AND to_position > from_position),
    CONSTRAINT checkpoints_hashes CHECK (octet_length(root) = 32 AND octet_length(previous_hash) IN (0, 32))
);

-- Hashes don't compress.
ALTER TABLE checkpoints ALTER COLUMN leaves SET STORAGE EXTERNAL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON checkpoints FOR EACH ROW EXECUTE FUNCTION is_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON checkpoints FOR EACH STATEMENT EXECUTE FUNCTION is_append_only();

-- A role that may record events may take checkpoints of them.
-- +goose StatementBegin
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN SELECT COALESCE(quote_ident(r.rolname), 'PUBLIC')
        FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid = 'payment_events'::regclass AND a.grantee <> c.relowner AND a.privilege_type = 'INSERT'
    LOOP
        EXECUTE format('GRANT SELECT, INSERT ON checkpoints TO %s', role);
    END LOOP;
END
$$;
-- +goose StatementEnd
