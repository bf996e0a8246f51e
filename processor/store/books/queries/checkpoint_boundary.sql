-- Every transaction that was given its id before this one has a lower id.
SELECT pg_current_xact_id()::text
