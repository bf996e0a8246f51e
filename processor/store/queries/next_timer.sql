SELECT min(t.fire_at) FROM timers t
