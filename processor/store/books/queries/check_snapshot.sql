-- The moment of the check, lent to others, how much there is as of it, and which database this is.
SELECT pg_export_snapshot(), now(),
       (SELECT count(*) FROM payments), (SELECT count(*) FROM commands), (SELECT count(*) FROM outbox),
       (SELECT count(*) FROM checkpoints),
       (SELECT s.system_identifier::text FROM pg_control_system() s)
       || '/' || (SELECT d.oid::text FROM pg_database d WHERE d.datname = current_database()) || '/' || current_schema()
