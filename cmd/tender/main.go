package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	c := &cli{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), now: time.Now}
	os.Exit(c.main(context.Background(), os.Args[1:]))
}

// The groups of subcommands in the help.
const (
	groupRun        = "run"
	groupPayments   = "payments"
	groupOperations = "operations"
	groupSetup      = "setup"
)

// newRoot lists every subcommand there is.
func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "tender",
		Short: "An asynchronous payment processor on NATS JetStream and PostgreSQL",
		Long: `Tender takes payment commands from NATS JetStream, brings each to exactly one recorded outcome at a payment gateway,
keeps the history in PostgreSQL and publishes what happened back onto the bus.`,
		Example: `  tender dev                                                  # everything on this machine, to play with
  tender pay create --amount 1999 --currency USD --method pm_card_visa --wait
  tender list
  tender serve --config tender.yaml                           # production`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.bindGlobal(root)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupPayments, Title: "Payments:"},
		&cobra.Group{ID: groupOperations, Title: "Operations:"},
		&cobra.Group{ID: groupSetup, Title: "Set up:"},
	)
	inGroup(root, groupRun, newDemo(c), newDev(c), newServe(c), newSimulator(c), newChaos(c), newBench(c))
	inGroup(root, groupPayments, newPay(c), newGet(c), newList(c), newHistory(c))
	inGroup(root, groupOperations, newDeadLetters(c), newRouting(c), newOutbox(c), newVerify(c), newRebuild(c))
	inGroup(root, groupOperations, newReview(c), newTimers(c), newGateway(c), newCheckpoint(c))
	inGroup(root, groupSetup, newMigrate(c), newProvision(c), newConfig(c))
	root.AddCommand(newVersion(c), newExitCodes(), newNATSNode(c), newBenchWorker(c))
	return root
}

func inGroup(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		root.AddCommand(cmd)
	}
}
