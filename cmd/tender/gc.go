package main

import (
	"os"
	"runtime/debug"
)

// gcPercent lets garbage grow to some times what lives before it is collected. What lives in a worker is small, a few
// megabytes beside the commands in progress, and most of what it allocates is gone with its batch: at Go's own 100 a quarter
// of a worker's CPU time would go into collecting.
const gcPercent = 400

// tuneGC sets gcPercent, unless GOGC says otherwise.
func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
