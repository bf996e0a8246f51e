package main

import "github.com/spf13/cobra"

func newGateway(c *cli) *cobra.Command {
	gateways := &cobra.Command{
		Use:     "gateway",
		Short:   "Look at gateways",
		Example: "  tender gateway ls\n  tender gateway ls --watch",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	gateways.AddCommand(newGatewayList(c), newGatewayConformance(c), newGatewayOpenAPI(c))
	return gateways
}
