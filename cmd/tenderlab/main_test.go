package main

import (
	"testing"

	"github.com/seed-384b1f8a/tender/cmd/internal/scripts"
)

// TestMain lets the test binary be the program itself: scripts, and tests that need processes of
// their own, run it by the name tenderlab. They find tender beside it.
func TestMain(m *testing.M) { scripts.Main(m, "tenderlab", main, "tender") }

func TestScripts(t *testing.T) {
	t.Parallel()
	scripts.Run(t)
}
