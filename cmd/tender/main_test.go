package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// raceEnv is the variable that steers the race detector. By default each process that is built with it waits for a second before it exits,
// for goroutines that might race yet, and the tests run hundreds of them to their end.
const raceEnv = "GORACE"

// quickExit hands the setting to a process that does not inherit it.
func quickExit() string { return raceEnv + "=" + os.Getenv(raceEnv) }

// TestMain lets the test binary be the program itself: scripts, and tests that need processes of their own, run it by the name
// tender, which testscript puts on the PATH.
func TestMain(m *testing.M) {
	if err := os.Setenv(raceEnv, strings.TrimSpace("atexit_sleep_ms=0 "+os.Getenv(raceEnv))); err != nil {
		panic(err)
	}
	testscript.Main(packageRun{m}, map[string]func(){"tender": main})
}

// packageRun gives the tests of the package their PostgreSQL server; the program itself has none.
type packageRun struct{ m *testing.M }

// Run implements testscript.TestingM.
func (r packageRun) Run() int { return servers.Main(r.m) }
