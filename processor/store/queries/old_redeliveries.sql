DELETE FROM redeliveries WHERE created_at < now() - interval '30 days'
