SELECT min(t.resume_before), max(t.resume_before) FROM timers t WHERE t.resume_before IS NOT NULL
