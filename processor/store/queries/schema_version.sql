SELECT COALESCE(max(m.version_id), 0) FROM schema_migrations m WHERE m.is_applied
