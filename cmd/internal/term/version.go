package term

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker, which can write to nothing but a variable (see the Makefile).
var version string

// Build describes the build of this program.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ThisBuild returns the build of this program.
func ThisBuild() Build {
	b := Build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}

// NewVersion returns the command that prints the build.
func NewVersion(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print which build this is",
		Example: "  " + e.Program + " version\n  " + e.Program + " version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := ThisBuild()
			if e.JSON {
				return e.PrintJSON(b)
			}
			fmt.Fprintf(e.Stdout, "%s %s (%s, %s)\n", e.Program, b.Version, b.Go, b.Platform)
			return nil
		},
	}
}
