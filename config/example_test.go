package config_test

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/config"
)

// Every mistake is reported at once, with its key and its place.
func ExampleLoad() {
	_, err := config.Load("", []string{
		"TENDER_WORKER_SLOTS_MAX=0",
		"TENDER_RETRY_UNKNOWN_REPLAYS=30s,5s",
		"TENDER_POSTGRES_URI=postgres://db/tender",
	})
	for _, mistake := range config.KeyErrors(err) {
		fmt.Println(mistake)
	}
	// Output:
	// TENDER_POSTGRES_URI: unknown variable; did you mean TENDER_POSTGRES_URL?
	// worker.slots_max: must be between 1 and 65536, not 0 (env TENDER_WORKER_SLOTS_MAX)
	// retry.unknown_replays: entry 2: must be longer than the one before (30s), not 5s (env TENDER_RETRY_UNKNOWN_REPLAYS)
}
