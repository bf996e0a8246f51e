-- For one transaction: find events by the indexes on position and key, however small the tables were when the statement was
-- planned.
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)
