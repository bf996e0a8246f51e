SELECT
    pg_backend_pid(), current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'),
    current_setting('shared_buffers'), current_setting('wal_compression')
