SELECT pg_export_snapshot(), now(), (SELECT count(*) FROM payments)
