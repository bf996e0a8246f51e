SELECT c.number, c.leaves FROM checkpoints c WHERE c.number BETWEEN $1::bigint AND $2::bigint ORDER BY c.number
