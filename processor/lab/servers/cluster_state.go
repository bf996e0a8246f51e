package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// clusterPoll is the interval at which AwaitReady asks the nodes.
	clusterPoll = 50 * time.Millisecond
	// answerWait is the limit for one answer of a server about itself.
	answerWait = 5 * time.Second
)

// ErrNoLeader means that a stream or the cluster has no leader: it does not exist, or an election
// is under way.
var ErrNoLeader = errors.New("no leader")

// Leader returns the node that leads a stream: the node claims it and a majority agrees. Without
// such a node it returns [ErrNoLeader] at once.
func (c *Cluster) Leader(ctx context.Context, stream string) (int, error) {
	leader, err := c.elected(ctx, func(told *server.JSInfo) string {
		for _, s := range streamsOf(told) {
			if s.Name == stream && s.Cluster != nil {
				return s.Cluster.Leader
			}
		}
		return ""
	})
	if err != nil {
		return -1, fmt.Errorf("find who leads stream %s: %w", stream, err)
	}
	return leader, nil
}

// MetaLeader returns the node that places streams and consumers, by the rule of Leader.
func (c *Cluster) MetaLeader(ctx context.Context) (int, error) {
	leader, err := c.elected(ctx, metaLeader)
	if err != nil {
		return -1, fmt.Errorf("find the meta leader: %w", err)
	}
	return leader, nil
}

func metaLeader(told *server.JSInfo) string {
	if told.Meta == nil {
		return ""
	}
	return told.Meta.Leader
}

// elected asks every node that can answer for its leader. A node that was cut off may name an old
// leader, even itself, but finds no majority for it.
func (c *Cluster) elected(ctx context.Context, named func(*server.JSInfo) string) (int, error) {
	votes := make([]string, len(c.nodes))
	err := c.each(func(n *Node) error {
		if !n.answers() {
			return nil
		}
		told, err := n.tell(ctx)
		if err != nil {
			return err
		}
		votes[c.index(n.name)] = named(told)
		return nil
	})
	for i, n := range c.nodes {
		count := 0
		for _, vote := range votes {
			if vote == n.name {
				count++
			}
		}
		if votes[i] == n.name && count > len(c.nodes)/2 {
			return i, nil
		}
	}
	return -1, errors.Join(ErrNoLeader, err)
}

// AwaitReady returns when all nodes are up and agree on their leader, and every stream and
// consumer has a leader and current replicas. It fails at once when a node is down. It asks until
// ctx ends, with a limit for each answer.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	poll := time.NewTicker(clusterPoll)
	defer poll.Stop()
	var missing error
	for {
		err := c.ready(ctx)
		if err == nil {
			return nil
		}
		if missing == nil || ctx.Err() == nil { // afterwards every error only reports the end of ctx
			missing = err
		}
		for _, n := range c.nodes {
			if !n.Running() {
				return fmt.Errorf("wait for the cluster: node %s is down; its log says:\n%s", n.name, tail(n.Log()))
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the cluster: %w (last: %w)", ctx.Err(), missing)
		case <-poll.C:
		}
	}
}

// Unwell returns the nodes that report a problem or do not answer: they are down, or have not
// caught up with the others.
func (c *Cluster) Unwell(ctx context.Context) []int {
	well := make([]bool, len(c.nodes))
	_ = c.each(func(n *Node) error { // a failure is part of the result
		err := n.ask(ctx, "/healthz", nil)
		well[c.index(n.name)] = err == nil
		return err
	})
	var unwell []int
	for i, is := range well {
		if !is {
			unwell = append(unwell, i)
		}
	}
	return unwell
}

// ready returns an error that names the first missing condition.
func (c *Cluster) ready(ctx context.Context) error {
	told := make([]*server.JSInfo, len(c.nodes))
	err := c.each(func(n *Node) error {
		if err := n.ask(ctx, "/healthz", nil); err != nil {
			return err
		}
		var err error
		told[c.index(n.name)], err = n.tell(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for i, n := range c.nodes {
		if err := c.agree(n.name, told[i], told[0]); err != nil {
			return err
		}
	}
	assets := map[string]asset{}
	for i, n := range c.nodes {
		gather(assets, n.name, told[i])
	}
	for name, a := range assets {
		if a.wrong != "" {
			return fmt.Errorf("%s: %s", name, a.wrong)
		}
		if !a.led {
			return fmt.Errorf("%s: %w", name, ErrNoLeader)
		}
	}
	return nil
}

// agree compares the reports of two nodes about the cluster.
func (c *Cluster) agree(name string, told, other *server.JSInfo) error {
	switch {
	case metaLeader(told) == "":
		return fmt.Errorf("node %s: no meta leader", name)
	case metaLeader(told) != metaLeader(other):
		return fmt.Errorf("node %s: its meta leader is %s, not %s", name, metaLeader(told), metaLeader(other))
	case told.Meta.Size != len(c.nodes):
		return fmt.Errorf("node %s: it knows of %d nodes", name, told.Meta.Size)
	}
	if name == metaLeader(told) {
		if wrong := lagging(told.Meta.Replicas, len(c.nodes)); wrong != "" {
			return fmt.Errorf("meta leader %s: %s", name, wrong)
		}
	}
	return nil
}

// asset is the state of a stream or a consumer.
type asset struct {
	led   bool   // its leader has reported it
	wrong string // the reason why it is not ready
}

// gather adds the report of a node about its streams and consumers.
func gather(assets map[string]asset, node string, told *server.JSInfo) {
	for _, s := range streamsOf(told) {
		assets["stream "+s.Name] = assets["stream "+s.Name].add(node, s.Cluster, s.Config.Replicas)
		for _, consumer := range s.Consumer {
			replicas := 0
			if consumer.Config != nil {
				replicas = consumer.Config.Replicas
			}
			if replicas == 0 && consumer.Config != nil && consumer.Config.Durable != "" {
				replicas = s.Config.Replicas
			}
			name := fmt.Sprintf("consumer %s of stream %s", consumer.Name, s.Name)
			assets[name] = assets[name].add(node, consumer.Cluster, max(replicas, 1))
		}
	}
}

// add merges the report of one node. Only the leader knows the positions of the others.
func (a asset) add(node string, group *server.ClusterInfo, replicas int) asset {
	switch {
	case group == nil || group.Leader == "":
		a.wrong = "node " + node + " knows no leader"
	case group.Leader == node:
		a.led = true
		if wrong := lagging(group.Replicas, replicas); wrong != "" {
			a.wrong = wrong
		}
	}
	return a
}

// lagging names the followers of a leader that are missing or behind.
func lagging(followers []*server.PeerInfo, replicas int) string {
	var wrong []string
	for _, f := range followers {
		if !f.Current || f.Offline {
			wrong = append(wrong, fmt.Sprintf("node %s is %d operations behind (offline: %t)", f.Name, f.Lag, f.Offline))
		}
	}
	if len(followers) < replicas-1 {
		wrong = append(wrong, fmt.Sprintf("%d of %d replicas", len(followers)+1, replicas))
	}
	return strings.Join(wrong, ", ")
}

func streamsOf(told *server.JSInfo) []server.StreamDetail {
	var streams []server.StreamDetail
	for _, account := range told.AccountDetails {
		streams = append(streams, account.Streams...)
	}
	return streams
}

// tell asks the node for its view of JetStream.
func (n *Node) tell(ctx context.Context) (*server.JSInfo, error) {
	told := new(server.JSInfo)
	return told, n.ask(ctx, "/jsz?accounts=true&streams=true&consumers=true&config=true&limit=1024", told)
}

// Peers returns the sorted names of the nodes with a connection to this one. A node that was cut
// off counts until this node notices.
func (n *Node) Peers(ctx context.Context) ([]string, error) {
	var told server.Routez
	if err := n.ask(ctx, "/routez", &told); err != nil {
		return nil, err
	}
	var names []string
	for _, route := range told.Routes {
		names = append(names, route.RemoteName)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// ask reads an answer from the monitoring port of the node, within answerWait. No client sees that
// port.
func (n *Node) ask(ctx context.Context, path string, into any) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("ask node %s: %w", n.name, err)
		}
	}()
	limit, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	request, err := http.NewRequestWithContext(limit, http.MethodGet, "http://"+loopbackAddress(n.ports.monitor)+path, nil)
	if err != nil {
		return err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}
