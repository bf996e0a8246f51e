package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// simulator is one gateway: a process with its ledger on disk.
type simulator struct {
	name, address string
	lab           *Lab

	mu      sync.Mutex
	running *servers.Process
}

// start starts the process and returns when it answers.
func (s *simulator) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(s.lab.dir, s.name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of the gateway %s: %w", s.name, err)
	}
	//nolint:gosec,noctx // G204: the lab's own program, which the lab ends itself
	cmd := exec.Command(s.lab.options.Programs.Lab, "simulator", "--listen", s.address, "--ledger", filepath.Join(s.lab.dir, s.name+".ledger"),
		"--hang", "2s", "--webhook-url", "http://"+s.lab.webhookAddr+"/webhooks/"+s.name, "--webhook-secret-env", "LAB_WEBHOOK_SECRET")
	cmd.Env = append(s.lab.environ, "LAB_WEBHOOK_SECRET="+webhookSecret)
	cmd.Stdout, cmd.Stderr = log, log
	process, err := servers.Launch(cmd)
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("start the gateway %s: %w", s.name, err)
	}
	s.running = process
	return poll(ctx, "wait for the gateway "+s.name, func() bool {
		_, err := readLedger(ctx, s.address)
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

// Ledgers are the gateways' own books, by their names.
func (l *Lab) Ledgers(ctx context.Context) (map[string]sim.Snapshot, error) {
	ledgers := map[string]sim.Snapshot{}
	for name, address := range l.gatewayAddrs() {
		ledger, err := readLedger(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("read the ledger of %s: %w", name, err)
		}
		ledgers[name] = ledger
	}
	return ledgers, nil
}

func readLedger(ctx context.Context, address string) (ledger sim.Snapshot, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+sim.PathLedger, nil)
	if err != nil {
		return sim.Snapshot{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return sim.Snapshot{}, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return sim.Snapshot{}, fmt.Errorf("the gateway answers %s", response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&ledger); err != nil {
		return sim.Snapshot{}, fmt.Errorf("decode the ledger: %w", err)
	}
	return ledger, nil
}
