SELECT (SELECT count(*) FROM commands), (SELECT count(*) FROM outbox)
