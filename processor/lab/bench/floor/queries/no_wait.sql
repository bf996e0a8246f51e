-- The relay does not wait for the disk either. See floor.go.
SELECT set_config('synchronous_commit', 'off', true)
