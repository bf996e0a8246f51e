package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
)

func main() {
	os.Exit(term.OfProcess("tender").Main(context.Background(), os.Args[1:], newRoot))
}

// newRoot lists every subcommand.
func newRoot(e *term.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "tender",
		Short: "An asynchronous payment processor on NATS JetStream and PostgreSQL",
		Long: `Tender takes payment commands from NATS JetStream, brings each to exactly one recorded
outcome at a payment gateway, keeps the history in PostgreSQL and publishes the events
back onto the bus.

The other program, tenderlab, runs everything on one machine to play with (tenderlab
dev), and tests and measures it.`,
		Example: `  tender migrate && tender provision
  tender serve --config tender.yaml
  tender pay create --amount 1999 --currency USD --method pm_card_visa --wait
  tender list`,
		Args: cobra.NoArgs,
		RunE: term.Help,
	}
	term.Group(root, "Run", newServe(e))
	term.Group(root, "Payments", newPay(e), newGet(e), newList(e), newHistory(e))
	term.Group(root, "Operations", newDeadLetters(e), newRouting(e), newOutbox(e), newVerify(e), newRebuild(e),
		newReview(e), newTimers(e), newRetry(e), newGateway(e), newCheckpoint(e))
	term.Group(root, "Setup", newMigrate(e), newProvision(e), newConfig(e))
	root.AddCommand(term.NewVersion(e), term.NewExitCodes())
	root.AddCommand(elsewhere()...)
	return root
}

// elsewhere lists the commands of tenderlab, each of which says where it is.
func elsewhere() []*cobra.Command {
	var all []*cobra.Command
	for _, name := range []string{"demo", "dev", "bench", "chaos", "simulator"} {
		all = append(all, &cobra.Command{
			Use:                name,
			Short:              "Run tenderlab " + name + " instead",
			Example:            "  tenderlab " + name,
			Hidden:             true,
			DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				return term.UsageError("tender %s is in the other program: run tenderlab %s (make build builds both as bin/tender and bin/tenderlab)", name, name)
			},
		})
	}
	return all
}
