package main

import "github.com/spf13/cobra"

func newGateway(c *cli) *cobra.Command {
	gateways := &cobra.Command{
		Use:     "gateway",
		Short:   "Look at gateways, and try a server that wants to be one",
		Example: "  tender gateway ls\n  tender gateway conformance --url http://127.0.0.1:8585",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	gateways.AddCommand(newGatewayList(c), newGatewayConformance(c), newGatewayOpenAPI(c))
	return gateways
}
