package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// newNATSNode is one server of the cluster that `tenderlab chaos` breaks. It is of no use to
// people.
func newNATSNode() *cobra.Command {
	return &cobra.Command{
		Use:   "nats-node FILE",
		Short: "Run one NATS server of a private cluster from a configuration file",
		Long: `Nats-node runs the NATS server inside this program until a signal stops it. Tenderlab
chaos and tenderlab bench start such processes; for other uses run a nats-server.`,
		Example: "  tenderlab nats-node node.json",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			app.TuneGC()
			return servers.RunNATSNode(cmd.Context(), args[0])
		},
	}
}
