package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
)

func main() {
	os.Exit(term.OfProcess("tenderlab").Main(context.Background(), os.Args[1:], newRoot))
}

// newRoot lists every subcommand.
func newRoot(e *term.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "tenderlab",
		Short: "Play with Tender, test it and measure it, on servers of its own",
		Long: `Tenderlab runs Tender on private servers on this machine: to play with, to show it, to
break it on purpose and to measure it. It holds a NATS server and a simulated payment
gateway, and starts PostgreSQL. Nothing here is for production: that is the program
tender.`,
		Example: `  tenderlab demo
  tenderlab dev
  tenderlab chaos --short
  tenderlab bench --quick`,
		Args: cobra.NoArgs,
		RunE: term.Help,
	}
	term.Group(root, "Play", newDemo(e), newDev(e), newSimulator(e))
	term.Group(root, "Test", newSimulate(e), newChaos(e), newBench(e))
	root.AddCommand(term.NewVersion(e), newNATSNode(), newBenchWorker(e))
	return root
}
