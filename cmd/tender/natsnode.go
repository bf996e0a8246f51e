package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// newNATSNode is one server of the cluster that `tender chaos` breaks. It is of no use to a person.
func newNATSNode(_ *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "nats-node FILE",
		Short: "Run one NATS server of a private cluster from a configuration file",
		Long: `Nats-node runs the NATS server that is inside this program until it is told to stop. It is what tender chaos starts three
processes of; run a nats-server of your own for anything else.`,
		Example: "  tender nats-node node.json",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tuneGC()
			return servers.RunNATSNode(cmd.Context(), args[0])
		},
	}
}
