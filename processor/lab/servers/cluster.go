package servers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// ClusterOptions configure a cluster. Only Program is required.
type ClusterOptions struct {
	// Program is the command line of a program that calls [RunNATSNode] with its last argument, the
	// path of a configuration file, and ends it on SIGTERM.
	Program    []string
	Dir        string // folder of the nodes, kept for the next start; empty: temporary
	Nodes      int    // 0: three
	SyncAlways bool   // an acknowledged message survives a power failure of all nodes; false: not within two minutes
	MaxStore   int64  // limit in bytes for JetStream on the disk of each node; 0: the whole disk
	// Route returns the address (host:port) at which node from reaches the cluster port of node
	// to, for a proxy between them. StartCluster calls it for every ordered pair in turn, with the
	// true address of the port, before any node starts, and again after it lost a port to another
	// program. nil: the true address. Two nodes have connections in both directions: to part them,
	// cut both.
	Route func(from, to int, address string) (string, error)
}

// Cluster is a NATS cluster with JetStream. Each node is a separate process on loopback without
// authorization. Node numbers start at 0. Its methods may be called from several goroutines, but
// not while Snapshot or Restore runs.
//
// The cluster notices a killed node at once, and a node that hangs or lost its connections after
// three to four seconds. The election of a new leader takes four to nine seconds from the last
// sign of the old one, a time compiled into the server, unless the old leader stopped in order and
// handed over.
type Cluster struct {
	options ClusterOptions
	home    *home
	nodes   []*Node
	stop    func() error
}

// StartCluster starts all nodes and returns when the cluster is ready in the sense of AwaitReady.
// ctx bounds the start only; Stop ends the cluster. The nodes also end with this process.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	o.Nodes = cmp.Or(o.Nodes, 3)
	if len(o.Program) == 0 {
		return nil, errors.New("start a NATS cluster: no program given that runs a node")
	}
	h, err := natsHome(ctx, o.Dir)
	if err != nil {
		return nil, fmt.Errorf("prepare a NATS cluster: %w", err)
	}
	c := &Cluster{options: o, home: h}
	c.stop = sync.OnceValue(c.end)
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a NATS cluster: %w", err), c.Stop())
	}
	return c, nil
}

// start tries other ports when another program took one between the choice and the use.
func (c *Cluster) start(ctx context.Context) error {
	for try := 1; ; try++ {
		if err := c.furnish(ctx); err != nil {
			return err
		}
		err := c.startAll(ctx)
		if err == nil {
			return c.AwaitReady(ctx)
		}
		if ctx.Err() != nil || try == portTries || !c.portLost(ctx) {
			return err
		}
	}
}

func (c *Cluster) portLost(ctx context.Context) bool {
	for _, n := range c.nodes {
		if n.Running() {
			continue
		}
		for _, port := range []int{n.ports.client, n.ports.cluster, n.ports.monitor} {
			if !portFree(ctx, port) {
				return errors.Join(c.each(func(n *Node) error { return n.Kill() })) == nil
			}
		}
	}
	return false
}

// furnish gives every node ports, a folder and a configuration.
func (c *Cluster) furnish(ctx context.Context) error {
	const perNode = 3
	ports, err := freePorts(ctx, perNode*c.options.Nodes)
	if err != nil {
		return err
	}
	c.nodes = nil
	for i := range c.options.Nodes {
		name := "n" + strconv.Itoa(i+1)
		mine := nodePorts{client: ports[perNode*i], cluster: ports[perNode*i+1], monitor: ports[perNode*i+2]}
		c.nodes = append(c.nodes, &Node{
			name: name, dir: filepath.Join(c.home.dir, name), ports: mine, program: c.options.Program, held: c.home.held,
		})
	}
	for _, n := range c.nodes { // one after the other: Route may not be safe for concurrent calls
		if err := os.MkdirAll(n.dir, 0o700); err != nil {
			return fmt.Errorf("create the folder of node %s: %w", n.name, err)
		}
		if err := c.configure(n); err != nil {
			return err
		}
	}
	return nil
}

// configure writes the configuration of a node. JSON is a dialect of what the server reads.
func (c *Cluster) configure(n *Node) error {
	routes, err := c.routes(n)
	if err != nil {
		return err
	}
	cluster := map[string]any{
		"name":         "tender",
		"listen":       loopbackAddress(n.ports.cluster),
		"routes":       routes,
		"no_advertise": true, // clients keep to the addresses that they were given
		"pool_size":    1,
		// The routes drop a node that hangs before raft gives it up.
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

// nowhere is the address that nodes behind proxies advertise, on a port without a listener. With
// the true addresses, a node would bypass a proxy that was cut.
const nowhere = loopback + ":1"

// routes returns the addresses at which a node reaches the others.
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

// index returns the number of the node with the name, or -1.
func (c *Cluster) index(name string) int {
	for i, n := range c.nodes {
		if n.name == name {
			return i
		}
	}
	return -1
}

// startAll starts all nodes at once: a node waits for the others.
func (c *Cluster) startAll(ctx context.Context) error {
	return c.each(func(n *Node) error { return n.Start(ctx) })
}

// each calls do for all nodes at once.
func (c *Cluster) each(do func(*Node) error) error {
	errs := make([]error, len(c.nodes))
	var working sync.WaitGroup
	for i, n := range c.nodes {
		working.Go(func() { errs[i] = do(n) })
	}
	working.Wait()
	return errors.Join(errs...)
}

// Nodes returns the number of nodes, running or not.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Node returns a node; numbers start at 0.
func (c *Cluster) Node(i int) *Node { return c.nodes[i] }

// ClientAddr returns the address (host:port) at which a node takes clients. It stays the same for
// the life of the cluster. The cluster never tells clients other addresses.
func (c *Cluster) ClientAddr(i int) string { return loopbackAddress(c.nodes[i].ports.client) }

// URLs returns the addresses for clients, one of each node.
func (c *Cluster) URLs() []string {
	var urls []string
	for i := range c.nodes {
		urls = append(urls, "nats://"+c.ClientAddr(i))
	}
	return urls
}

// Snapshot stops all nodes in order, copies their stores to dir, which must be missing, and starts
// them again. It returns when the cluster is ready. Nodes that were down run afterwards, too.
func (c *Cluster) Snapshot(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take a snapshot: %s is there (%w)", dir, err)
	}
	return c.whileDown(ctx, "take a snapshot", func() error { return c.SnapshotRunning(dir) })
}

// SnapshotRunning copies the stores to dir while all nodes run, as a careless backup would. It
// copies nodes and files at different moments, so a cluster from such a copy may never become
// ready and may lack acknowledged messages.
func (c *Cluster) SnapshotRunning(dir string) error {
	return c.each(func(n *Node) error { return n.SaveStore(filepath.Join(dir, n.name)) })
}

// Restore stops all nodes in order, puts the stores of a snapshot in place of theirs and starts
// them. It returns when the cluster is ready. Everything written since the snapshot is gone. dir
// stays as it is. All nodes are restored together: a node with newer data than a restored majority
// would have another history.
func (c *Cluster) Restore(ctx context.Context, dir string) error {
	for _, n := range c.nodes {
		if _, err := os.Stat(filepath.Join(dir, n.name)); err != nil {
			return fmt.Errorf("restore a snapshot: %w", err)
		}
	}
	return c.whileDown(ctx, "restore a snapshot", func() error {
		return c.each(func(n *Node) error { return n.LoadStore(filepath.Join(dir, n.name)) })
	})
}

// whileDown stops all nodes, calls do, and starts the nodes again.
func (c *Cluster) whileDown(ctx context.Context, what string, do func() error) error {
	err := c.each((*Node).Stop)
	if err == nil {
		err = do()
	}
	if err := errors.Join(err, c.startAll(ctx)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := c.AwaitReady(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Stop ends all nodes for good and, unless the folder was given, removes what they stored. Further
// calls return the same result.
func (c *Cluster) Stop() error { return c.stop() }

func (c *Cluster) end() error {
	// A store that is removed anyway needs no orderly end.
	stop := (*Node).Stop
	if c.home.temporary {
		stop = (*Node).Kill
	}
	if err := c.each(stop); err != nil {
		c.home.temporary = false // a node may still write there: a later sweep removes the folder, once its lock is free
		return errors.Join(err, c.home.release())
	}
	return c.home.release()
}
