package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Node is one server of a [Cluster], a process that can be ended, paused and started again. Its
// methods may be called from several goroutines.
type Node struct {
	name    string
	dir     string
	ports   nodePorts
	program []string
	held    *lock // of the folder: the process inherits it, so no other program claims the folder while the process lives

	mu      sync.Mutex
	process *process // nil before the first start
	paused  bool
}

// nodePorts are the loopback ports of a node, the same over restarts.
type nodePorts struct{ client, cluster, monitor int }

func (n *Node) config() string { return filepath.Join(n.dir, "node.json") }

func (n *Node) store() string { return filepath.Join(n.dir, "store") }

// Name returns the name of the server, as JetStream reports it for leaders and replicas.
func (n *Node) Name() string { return n.name }

// Log returns the file that the node logs to, over all its starts.
func (n *Node) Log() string { return filepath.Join(n.dir, logName) }

// Running reports whether the process lives. A paused process does.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil && n.process.running()
}

// answers reports whether the node can answer requests.
func (n *Node) answers() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil && n.process.running() && !n.paused
}

// Start runs the node again on its old ports and store, and returns when it takes clients and has
// read its store. It does not wait for the other nodes: see [Cluster.AwaitReady]. It does nothing
// when the node runs.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && n.process.running() {
		return nil
	}
	started, err := n.launch()
	if err != nil {
		return fmt.Errorf("start node %s: %w", n.name, err)
	}
	n.process, n.paused = started, false
	if err := n.awaitUp(ctx); err != nil {
		return fmt.Errorf("start node %s: %w; its log says:\n%s", n.name, err, tail(n.Log()))
	}
	return nil
}

func (n *Node) launch() (*process, error) {
	log, err := os.OpenFile(n.Log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	arguments := append(append([]string{}, n.program[1:]...), n.config())
	cmd := exec.Command(n.program[0], arguments...) //nolint:gosec,noctx // G204: the caller's own program; Stop ends it, in order
	cmd.Dir = n.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{n.held.file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr, syscall.SIGKILL)
	started, err := launch(cmd)
	return started, errors.Join(err, log.Close())
}

// awaitUp returns when the node answers, when it has ended, or when ctx is done.
func (n *Node) awaitUp(ctx context.Context) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		err := n.ask(ctx, "/healthz?js-enabled-only=true", nil)
		if err == nil {
			return nil
		}
		select {
		case <-n.process.done:
			return fmt.Errorf("the process ended (%w)", n.process.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for an answer: %w (last: %w)", ctx.Err(), err)
		case <-poll.C:
		}
	}
}

// Kill ends the node with SIGKILL, as a crash would, and returns when its process is gone. It does
// nothing when the node is down.
func (n *Node) Kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.finish(syscall.SIGKILL, quitWait)
}

// Stop ends the node in order: the node hands over its leaderships and writes its store. Stop
// first resumes a paused node. It does nothing when the node is down.
func (n *Node) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.finish(syscall.SIGTERM, stopWait)
	if err == nil {
		return nil
	}
	return errors.Join(err, n.finish(syscall.SIGKILL, quitWait))
}

func (n *Node) finish(signal syscall.Signal, wait time.Duration) error {
	if n.process == nil || !n.process.running() {
		return nil
	}
	if err := n.process.signal(signal); err != nil {
		return err
	}
	if n.paused && signal != syscall.SIGKILL {
		if err := thaw(n.process.cmd.Process.Pid); err != nil {
			return err
		}
	}
	if !n.process.ended(wait) {
		return fmt.Errorf("end node %s: process %d still runs %s after %s; its log says:\n%s",
			n.name, n.process.cmd.Process.Pid, wait, signal, tail(n.Log()))
	}
	n.paused = false
	return nil
}

// Pause stops the node with SIGSTOP and returns when all its threads stand still: connections stay
// open and no request is answered. Resume continues the node; Kill and Stop end it.
func (n *Node) Pause() error { return n.hold(true, freeze) }

// Resume continues a paused node.
func (n *Node) Resume() error { return n.hold(false, thaw) }

func (n *Node) hold(paused bool, do func(pid int) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil || !n.process.running() {
		return fmt.Errorf("pause or resume node %s: it is down", n.name)
	}
	if err := do(n.process.cmd.Process.Pid); err != nil {
		return fmt.Errorf("node %s: %w", n.name, err)
	}
	n.paused = paused
	return nil
}

// SaveStore copies the store of the node to dir, which must be missing. The copy is consistent
// only if the node is down.
func (n *Node) SaveStore(dir string) error {
	if err := copyStore(n.store(), dir); err != nil {
		return fmt.Errorf("save the store of node %s: %w", n.name, err)
	}
	return nil
}

// LoadStore replaces the node's store with a copy made by SaveStore. The node must be down.
func (n *Node) LoadStore(dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && n.process.running() {
		return fmt.Errorf("load the store of node %s: it runs", n.name)
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("load the store of node %s: %w", n.name, err)
	}
	if err := os.RemoveAll(n.store()); err != nil {
		return fmt.Errorf("clear the store of node %s: %w", n.name, err)
	}
	if err := copyStore(dir, n.store()); err != nil {
		return fmt.Errorf("load the store of node %s: %w", n.name, err)
	}
	return nil
}

// ClearStore removes the store of the node, as the loss of a disk would. When the node starts
// again it copies everything from the others. The node must be down and a majority of the others
// up and current, or acknowledged messages may be lost.
func (n *Node) ClearStore() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && n.process.running() {
		return fmt.Errorf("clear the store of node %s: it runs", n.name)
	}
	if err := os.RemoveAll(n.store()); err != nil {
		return fmt.Errorf("clear the store of node %s: %w", n.name, err)
	}
	return nil
}

// copyStore copies a tree of folders and files, and skips those that vanish meanwhile.
func copyStore(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = copyEntry(from, to, path, entry)
		}
		if path != from && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func copyEntry(from, to, path string, entry fs.DirEntry) error {
	relative, err := filepath.Rel(from, path)
	if err != nil {
		return err
	}
	if entry.IsDir() {
		return os.Mkdir(filepath.Join(to, relative), 0o700)
	}
	return copyFile(path, filepath.Join(to, relative))
}

// RunNATSNode runs the NATS server of a configuration file inside this process until ctx is done,
// and logs to standard error. The processes of a [Cluster] call it. The caller handles signals. A
// process must run only one node, because a fatal error of the server ends the process.
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
