package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Snapshot stops all nodes in order, copies their stores to dir, which is created and must be empty or missing, and starts them again. It returns
// when the cluster is ready. Nodes that were down run afterwards, too.
func (c *Cluster) Snapshot(ctx context.Context, dir string) error {
	if err := c.each((*Node).Stop); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	if err := c.SnapshotRunning(dir); err != nil {
		return errors.Join(err, c.startAll(ctx))
	}
	if err := c.startAll(ctx); err != nil {
		return fmt.Errorf("start after a snapshot: %w", err)
	}
	return c.AwaitReady(ctx)
}

// SnapshotRunning copies the stores to dir as they are, without stopping anything: what a careless backup does. Files change and vanish
// while they are copied, and every node is caught at another moment.
func (c *Cluster) SnapshotRunning(dir string) error {
	return c.each(func(n *Node) error { return n.SaveStore(filepath.Join(dir, n.name)) })
}

// Restore stops all nodes in order, puts the stores of a snapshot in place of theirs and starts them. It returns when the cluster is ready.
// What was written since the snapshot is gone. dir stays as it is.
func (c *Cluster) Restore(ctx context.Context, dir string) error {
	if err := c.each((*Node).Stop); err != nil {
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	if err := c.each(func(n *Node) error { return n.LoadStore(filepath.Join(dir, n.name)) }); err != nil {
		return errors.Join(err, c.startAll(ctx))
	}
	if err := c.startAll(ctx); err != nil {
		return fmt.Errorf("start from a snapshot: %w", err)
	}
	return c.AwaitReady(ctx)
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
