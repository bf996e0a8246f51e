package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// simulator is one gateway: a process with a ledger on disk.
type simulator struct {
	name, address string
	rig           *Rig

	mu      sync.Mutex
	running *servers.Process
}

// start starts the process and returns when the process answers.
func (s *simulator) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(s.rig.dir, s.name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of the gateway %s: %w", s.name, err)
	}
	//nolint:gosec,noctx // G204: the rig's own program, which the rig ends itself
	cmd := exec.Command(s.rig.options.Programs.Lab, "simulator", "--listen", s.address, "--ledger", filepath.Join(s.rig.dir, s.name+".ledger"),
		"--hang", "2s", "--webhook-url", "http://"+s.rig.postman.addr()+"/webhooks/"+s.name, "--webhook-secret-env", "RIG_WEBHOOK_SECRET")
	cmd.Env = append(s.rig.environ, "RIG_WEBHOOK_SECRET="+webhookSecret)
	cmd.Stdout, cmd.Stderr = log, log
	process, err := servers.Launch(cmd)
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("start the gateway %s: %w", s.name, err)
	}
	s.running = process
	return poll(ctx, "wait for the gateway "+s.name, func() bool {
		_, err := audit.FetchLedger(ctx, http.DefaultClient, "http://"+s.address)
		return err == nil
	})
}

// kill ends the process with SIGKILL. Its ledger stays.
func (s *simulator) kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil
	}
	process := s.running
	s.running = nil
	return end(process, syscall.SIGKILL)
}
