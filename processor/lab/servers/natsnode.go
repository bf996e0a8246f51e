package servers

import (
	"context"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// RunNATSNode runs the NATS server of a configuration file inside this process until ctx is done, and logs to standard
// error. It is what the processes of a [Cluster] do; signals are the caller's, and one process runs one node, since
// what a server cannot survive ends the process.
func RunNATSNode(ctx context.Context, configFile string) error {
	options, err := server.ProcessConfigFile(configFile)
	if err != nil {
		return fmt.Errorf("read NATS configuration %s: %w", configFile, err)
	}
	options.NoSigs = true
	node, err := server.NewServer(options)
	if err != nil {
		return fmt.Errorf("configure NATS node %s: %w", options.ServerName, err)
	}
	node.ConfigureLogger()
	node.Start()
	for ctx.Err() == nil && !node.ReadyForConnections(readyPoll) {
	}
	node.Noticef("Node %s takes clients at %s", node.Name(), node.ClientURL())
	<-ctx.Done()
	node.Shutdown()
	node.WaitForShutdown()
	return nil
}
