package store

import (
	"context"
	"fmt"
	"time"
)

// quartersAhead is for how many quarters after the current one partitions are made: whoever migrates once in two years is
// in time, and whoever doesn't has their events in the default partition.
const quartersAhead = 8

// EnsurePartitions makes the partitions of payment_events for the quarter that now lies in and the eight after it, and
// returns how many it made. Zero means the time of the database. It may be repeated, which is quick, but not called
// concurrently: Migrate calls it while others wait. The role has to own the schema.
func EnsurePartitions(ctx context.Context, db DB, now time.Time) (made int, err error) {
	if err := db.QueryRow(ctx, ensurePartitionsSQL, instant(now), quartersAhead).Scan(&made); err != nil {
		return 0, fmt.Errorf("make partitions of payment_events: %w", err)
	}
	return made, nil
}
