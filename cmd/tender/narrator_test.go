package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
)

// TestDescribeEveryEvent holds that every type of event has a description, in one printable line.
func TestDescribeEveryEvent(t *testing.T) {
	t.Parallel()
	for _, eventType := range messages.EventTypes() {
		t.Run(string(eventType), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(filepath.Join("..", "..", "messages", "testdata", "golden", "event."+string(eventType)+".json"))
			if err != nil {
				t.Fatalf("read the golden message: %v", err)
			}
			event, err := messages.DecodeEventBody([]byte(strings.TrimSpace(string(body))))
			if err != nil {
				t.Fatalf("decode the golden message: %v", err)
			}
			said := narrator{"USD"}.describe(event)
			if said == "" || said != term.Printable(said) {
				t.Errorf("it is described as %q", said)
			}
			if strings.Contains(said, "minor units") {
				t.Errorf("%q does not use the currency", said)
			}
		})
	}
}
