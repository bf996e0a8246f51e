SELECT min(t.fire_at) FROM timers t WHERE t.resume_id IS NULL
