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

// Node is one server of a [Cluster], a process of its own that can be ended, held still and started again. Its
// methods may be called from several goroutines.
type Node struct {
	name    string
	dir     string
	ports   nodePorts
	program []string
	held    *lock // the folder's: the process holds it too, so that nobody takes the folder while the process lives

	mu      sync.Mutex
	process *process // nil before the first start
	paused  bool
}

// nodePorts are the loopback ports of a node, the same over restarts.
type nodePorts struct{ client, cluster, monitor int }

func (n *Node) config() string { return filepath.Join(n.dir, "node.json") }

func (n *Node) store() string { return filepath.Join(n.dir, "store") }

// Name returns the server's name, as it appears in what JetStream tells of leaders and replicas.
func (n *Node) Name() string { return n.name }

// Log returns the file that the node logs to, over all its starts.
func (n *Node) Log() string { return filepath.Join(n.dir, logName) }

// Running reports whether the process lives. A paused one does.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil && n.process.running()
}

// answers reports whether the node can be asked anything.
func (n *Node) answers() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil && n.process.running() && !n.paused
}

// Start runs the node again on its old ports and store, and returns when it takes clients and has read its store. It
// does not wait for the other nodes: see [Cluster.AwaitReady]. It does nothing when the node runs.
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

// Kill ends the node with SIGKILL, as a crash would, and returns when its process is gone. It does nothing when the
// node is down.
func (n *Node) Kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.finish(syscall.SIGKILL, quitWait)
}

// Stop ends the node in order: it hands over what it leads and writes its store. A paused one is resumed for that. It
// does nothing when the node is down.
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
		return fmt.Errorf("end node %s: process %d is there %s after %s; its log says:\n%s",
			n.name, n.process.cmd.Process.Pid, wait, signal, tail(n.Log()))
	}
	n.paused = false
	return nil
}

// Pause holds the node still with SIGSTOP and returns when it is: its connections stay open and nothing answers. Resume
// lets it go on; Kill and Stop end it.
func (n *Node) Pause() error { return n.hold(true, freeze) }

// Resume lets a paused node go on, unaware of the time that has passed.
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

// SaveStore copies the node's store to dir, which must be missing. The node may run; the copy is whole only when it does not.
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

// ClearStore removes what the node stored, as a lost disk would: when it starts again it gets everything from the others. The node must be
// down, and a majority of the others up and current, or what was acknowledged may be lost with it.
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

// copyStore copies a tree of folders and files, without those that vanish meanwhile.
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
