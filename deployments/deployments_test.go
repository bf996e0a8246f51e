// Package deployments_test holds the shipped configuration against real servers.
package deployments_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// nodeArgument makes the test binary run a node of a NATS cluster instead of the tests.
const nodeArgument = "nats-node"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == nodeArgument {
		os.Exit(node(os.Args[2]))
	}
	os.Exit(servers.Main(m))
}

// node runs a node until it is told to end.
func node(configFile string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := servers.RunNATSNode(ctx, configFile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
