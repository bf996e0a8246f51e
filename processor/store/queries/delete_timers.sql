DELETE FROM timers WHERE payment_id = ANY ($1::uuid[]) AND kind = 'due'
