package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/cmd/internal/scripts"
)

// TestMain lets the test binary be the program itself: scripts, and tests that need processes of
// their own, run it by the name tender. They find tenderlab beside it.
func TestMain(m *testing.M) { scripts.Main(m, "tender", main, "tenderlab") }

func TestScripts(t *testing.T) {
	t.Parallel()
	scripts.Run(t)
}

// TestLinksNoServer keeps the NATS server and the lab out of the program that runs in production.
func TestLinksNoServer(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("list the dependencies: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "github.com/nats-io/nats.go") {
		t.Fatalf("the list is not one of dependencies:\n%s", out)
	}
	for _, unwanted := range []string{"github.com/nats-io/nats-server", "/processor/lab", "/cmd/tenderlab"} {
		for path := range strings.Lines(string(out)) {
			if strings.Contains(path, unwanted) {
				t.Errorf("tender imports %s", strings.TrimSpace(path))
			}
		}
	}
}
