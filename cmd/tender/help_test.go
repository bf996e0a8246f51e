package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelpIsComplete holds that every command says what it does and shows how, and that every flag is explained.
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s: lacks a description or an example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: example %q is not indented like the others", cmd.CommandPath(), line)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.ToLower(f.Name) != f.Name || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: is explained as %q", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(&cli{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}))
}
