INSERT INTO redeliveries (command, begun) VALUES ($1, 1)
ON CONFLICT (command) DO UPDATE SET begun = redeliveries.begun + 1
RETURNING begun
