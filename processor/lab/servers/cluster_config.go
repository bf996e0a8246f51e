package servers

import (
	"encoding/json"
	"fmt"
	"os"
)

// nowhere is what nodes behind proxies tell each other of themselves: nobody listens on that port. Left to itself a
// node would learn the true addresses of the others and go around a proxy that was cut.
const nowhere = loopback + ":1"

// configure writes the configuration of a node. JSON is a dialect of what the server reads.
func (c *Cluster) configure(n *Node) error {
	routes, err := c.routes(n)
	if err != nil {
		return err
	}
	cluster := map[string]any{
		"name":         "harness",
		"listen":       loopbackAddress(n.ports.cluster),
		"routes":       routes,
		"no_advertise": true, // clients keep to the addresses that they were given
		"pool_size":    1,
		// A node that hangs is off the routes before raft gives it up.
		"ping_interval":  "1s",
		"ping_max":       3,
		"write_deadline": "5s",
	}
	if c.options.Route != nil {
		cluster["advertise"] = nowhere
	}
	stores := map[string]any{"store_dir": n.store()}
	if c.options.SyncAlways {
		stores["sync_interval"] = "always"
	}
	if c.options.MaxStore > 0 {
		stores["max_file_store"] = c.options.MaxStore
	}
	content, err := json.MarshalIndent(map[string]any{
		"server_name":    n.name,
		"listen":         loopbackAddress(n.ports.client),
		"http":           loopbackAddress(n.ports.monitor),
		"ping_interval":  "5s",
		"ping_max":       2,
		"write_deadline": "5s",
		"jetstream":      stores,
		"cluster":        cluster,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the configuration of node %s: %w", n.name, err)
	}
	if err := os.WriteFile(n.config(), content, 0o600); err != nil {
		return fmt.Errorf("write the configuration of node %s: %w", n.name, err)
	}
	return nil
}

// routes are the addresses at which a node reaches the others.
func (c *Cluster) routes(n *Node) ([]string, error) {
	from := c.index(n.name)
	routes := []string{}
	for to, other := range c.nodes {
		if to == from {
			continue
		}
		address := loopbackAddress(other.ports.cluster)
		if c.options.Route != nil {
			var err error
			if address, err = c.options.Route(from, to, address); err != nil {
				return nil, fmt.Errorf("the way from node %s to node %s: %w", n.name, other.name, err)
			}
		}
		routes = append(routes, "nats-route://"+address)
	}
	return routes, nil
}

// index returns which node has the name, or -1.
func (c *Cluster) index(name string) int {
	for i, n := range c.nodes {
		if n.name == name {
			return i
		}
	}
	return -1
}
