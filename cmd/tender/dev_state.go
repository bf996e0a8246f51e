package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-384b1f8a/tender/config"
)

// devState is the folder that keeps the data of `tender dev`, claimed by this process.
type devState struct {
	dir  string
	lock *os.File
}

// claimDevState creates the folder if it is missing and claims it: one process at a time may use it. The claim ends with
// the process, however it ends.
func claimDevState(dir string) (*devState, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve data folder: %w", err)
	}
	// Passable for others, since for root PostgreSQL runs as another user; what is inside is closed.
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // G301: see above
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "dev.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another tender dev uses it; end that one, or choose another folder with --data")
		}
		return nil, errors.Join(fmt.Errorf("claim data folder %s: %w", dir, err), lock.Close())
	}
	return &devState{dir: dir, lock: lock}, nil
}

// clean removes what a sandbox keeps there, and nothing else: the folder may be anything that a person named.
func (s *devState) clean() error {
	for _, name := range []string{sandboxNATS, sandboxPostgres, devGateway().ledger()} {
		if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("remove data: %w", err)
		}
	}
	return nil
}

func (s *devState) release() error {
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("release data folder: %w", err)
	}
	return nil
}

// leaveDevFile writes the configuration by which other commands find the sandbox, readable for its owner alone, and
// returns what removes it again, unless another process has put its own there meanwhile.
func leaveDevFile(path string, cfg config.Config) (forget func() error, err error) {
	content := renderDevFile(cfg)
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil { //nolint:gosec // G301: it may be the data folder too
		return nil, fmt.Errorf("create folder for %s: %w", path, err)
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".dev-*.yaml") // 0600
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	_, err = draft.Write(content)
	err = errors.Join(err, draft.Close())
	if err == nil {
		err = os.Rename(draft.Name(), path) // whole, whenever it is seen
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(draft.Name()))
	}
	return func() error { return removeDevFile(path, content) }, nil
}

// removeDevFile removes the file if it still is what this process wrote, and its folder if nothing else is in it.
func removeDevFile(path string, content []byte) error {
	now, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("remove %s: %w", path, err)
	case !bytes.Equal(now, content):
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	_ = os.Remove(filepath.Dir(path)) // which fails if something else is in it
	return nil
}

// renderDevFile writes the part of a configuration that differs from the defaults in a sandbox, secrets included.
func renderDevFile(cfg config.Config) []byte {
	name := cfg.Routing.Default
	simulated := cfg.Gateways[name]
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by tender dev (process %d), which removes it when it ends.\n", os.Getpid())
	fmt.Fprintf(&b, "nats:\n  url: %s\n", strconv.Quote(cfg.NATS.URL.Reveal()))
	fmt.Fprintf(&b, "postgres:\n  url: %s\n", strconv.Quote(cfg.Postgres.URL.Reveal()))
	fmt.Fprintf(&b, "gateways:\n  %s:\n    kind: %s\n    url: %s\n", name, simulated.Kind, strconv.Quote(simulated.URL.Reveal()))
	if simulated.WebhookSecret != "" {
		fmt.Fprintf(&b, "    webhook_secret: %s\n", strconv.Quote(simulated.WebhookSecret.Reveal()))
	}
	fmt.Fprintf(&b, "routing:\n  default: %s\n", name)
	return []byte(b.String())
}
