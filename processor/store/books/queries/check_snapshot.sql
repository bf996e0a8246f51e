-- When the check takes place, about how much there is, as the statistics have it (and of claims no less than their size suggests), and which database this is.
SELECT now(), e.payments, greatest(e.claims, pg_relation_size(to_regclass('commands')) / 300), e.outbox, e.checkpoints,
       (SELECT s.system_identifier::text FROM pg_control_system() s)
       || '/' || (SELECT d.oid::text FROM pg_database d WHERE d.datname = current_database()) || '/' || current_schema()
FROM (
    SELECT COALESCE(max(c.reltuples) FILTER (WHERE c.oid = to_regclass('payments')), 0)::bigint AS payments,
           COALESCE(max(c.reltuples) FILTER (WHERE c.oid = to_regclass('commands')), 0)::bigint AS claims,
           COALESCE(max(c.reltuples) FILTER (WHERE c.oid = to_regclass('outbox')), 0)::bigint AS outbox,
           COALESCE(max(c.reltuples) FILTER (WHERE c.oid = to_regclass('checkpoints')), 0)::bigint AS checkpoints
    FROM pg_class c
    WHERE c.oid IN (to_regclass('payments'), to_regclass('commands'), to_regclass('outbox'), to_regclass('checkpoints'))
) e
