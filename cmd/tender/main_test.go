package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed-384b1f8a/tender/processor/harness"
)

// TestMain lets the test binary be the program itself: scripts, and tests that need processes of their own, run it by the name
// tender, which testscript puts on the PATH.
func TestMain(m *testing.M) {
	testscript.Main(packageRun{m}, map[string]func(){"tender": main})
}

// packageRun gives the tests of the package their PostgreSQL server; the program itself has none.
type packageRun struct{ m *testing.M }

// Run implements testscript.TestingM.
func (r packageRun) Run() int { return harness.Main(r.m) }
