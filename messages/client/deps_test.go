package client_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestAProducerLinksNothingOfTheServerSide lists the packages of Tender that the client needs.
func TestAProducerLinksNothingOfTheServerSide(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("list the dependencies: %v\n%s", err, out)
	}
	var ours []string
	for path := range strings.Lines(string(out)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(path), "github.com/seed-384b1f8a/tender/"); found {
			ours = append(ours, name)
		}
	}
	if got := strings.Join(ours, " "); got != "messages/jsonobject messages messages/client" {
		t.Errorf("the client needs %s", got)
	}
}
