package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Snapshot stops all nodes in order, copies their stores to dir, which must be missing, and starts them again. It returns
// when the cluster is ready. Nodes that were down run afterwards, too.
func (c *Cluster) Snapshot(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take a snapshot: %s is there (%w)", dir, err)
	}
	return c.whileDown(ctx, "take a snapshot", func() error { return c.SnapshotRunning(dir) })
}

// SnapshotRunning copies the stores to dir as they are, without stopping anything: what a careless backup does. Every
// node is caught at another moment and its files at different ones, so a cluster from such a copy may never become ready and
// may have lost what was acknowledged before.
func (c *Cluster) SnapshotRunning(dir string) error {
	return c.each(func(n *Node) error { return n.SaveStore(filepath.Join(dir, n.name)) })
}

// Restore stops all nodes in order, puts the stores of a snapshot in place of theirs and starts them. It returns when
// the cluster is ready. What was written since the snapshot is gone. dir stays as it is. All nodes go back together: a node
// that kept more than a majority that was set back would go on with another history than theirs.
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

// whileDown does something to the stores of nodes that are all down, and starts them again.
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
