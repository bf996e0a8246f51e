package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/config"
)

// demoLogLines is how much of the log is shown when something went wrong.
const demoLogLines = 60

func newDemo(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Run scripted payments through the real thing, show them, check the books",
		Long: `Demo boots everything on free ports of this machine: NATS with JetStream, PostgreSQL, three simulators as payment gateways
behind HTTP, and two instances of every role. It publishes real commands, watches the events on the bus, and shows for each payment
what was asked and what came of it. In the middle a gateway goes down and comes back: its circuit breaker opens, new payments fail
over to the second gateway, and what only the first can do is parked until it is back. In the end demo compares what the gateways
say they did with the event store, and checks the invariants as tender verify does. Nothing is left behind.

Exit code 1 if anything is not as expected; the output says what.`,
		Example: `  tender demo
  tender demo --json | jq '.payments[] | {name, status, gateway}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.refuseServers("demo"); err != nil {
				return err
			}
			return c.demo(cmd.Context(), demoScenarios())
		},
	}
}

// refuseServers refuses flags that say where to connect to, on behalf of a command that brings its own servers.
func (c *cli) refuseServers(command string) error {
	if c.configFile != "" || c.natsURL != "" || c.postgresURL != "" {
		return usageError("tender %s runs servers of its own: it takes no --config, --nats or --postgres", command)
	}
	return nil
}

// demo plays the scenarios in a sandbox and says whether everything came as they expect.
func (c *cli) demo(ctx context.Context, scenarios []scenario) error {
	began, p := c.now(), c.newProgress()
	recent := &recentLines{max: demoLogLines}
	log := newLog(recent, config.Log{Level: config.LogInfo, Format: config.LogConsole})
	report, err := perform(ctx, scenarios, log, p)
	if err != nil {
		return err
	}
	report.DurationMS = c.now().Sub(began).Milliseconds()
	if err := c.showDemo(report); err != nil {
		return err
	}
	if report.OK {
		return nil
	}
	if !c.quiet {
		fmt.Fprintf(c.stderr, "\nThe end of the log:\n")
		recent.show(c.stderr)
	}
	return sayNo()
}

// showDemo prints the report: as JSON, or as a table with what the books say below it.
func (c *cli) showDemo(r demoReport) error {
	if c.json {
		return c.printJSON(r)
	}
	yes, no := marks(c.stdout, c.environ)
	fmt.Fprintln(c.stdout)
	printPayments(c.stdout, r.Payments, yes, no)
	fmt.Fprintln(c.stdout)
	printBooks(c.stdout, r, yes, no)
	if r.OK {
		fmt.Fprint(c.stdout, "\nNext: `tender dev` keeps all this running to play with; README.md says how.\n")
	}
	return nil
}
