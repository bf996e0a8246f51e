package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// The times of the rig: short enough for a fault and its repair to fit into seconds, long enough
// for a busy machine.
const (
	// AckWait is the time for which a worker may be silent about a command.
	AckWait = 3 * time.Second
	// Duplicates is the window in which JetStream remembers message ids. A message that is
	// published again after it is stored again.
	Duplicates = 5 * time.Second
	// CallTimeout is the limit for one answer of a gateway.
	CallTimeout = time.Second
	// Ladder is the age of an unknown outcome at which a person is asked, the last of
	// unknown_lookups below.
	Ladder = 27 * time.Second
	// Horizon is beyond every timer under these settings except expiries. A payment that is due
	// later is at rest.
	Horizon = 10 * time.Minute
)

// The roles of a member.
const (
	roleWorker    = "worker"
	roleRelay     = "relay"
	roleScheduler = "scheduler"
	roleWebhook   = "webhook"
)

// termWait is the limit for a process that was asked to leave. Its own drain timeout is shorter.
const termWait = time.Minute

// Member is one process of `tender serve`. The rig starts it again whenever it ends, as every
// platform would. Its methods may be called from several goroutines.
type Member struct {
	Name     string
	roles    []string
	links    *links
	slotsMax int
	connsMax int

	rig *Rig
	mu  sync.Mutex
	// running is the present process; nil between two processes.
	running *servers.Process
	// wanted is false while the member is to stay down.
	wanted bool
	// expected is true when a fault or the rig ends the present process.
	expected bool
	// logFrom is the offset at which the log of the present process begins.
	logFrom int64
}

// plays reports whether the member has the role.
func (m *Member) plays(role string) bool { return slices.Contains(m.roles, role) }

// committers leaves room in the smallest pools.
func (m *Member) committers() int { return max(1, min(2, m.connsMax-1)) }

// Start starts the process unless it runs.
func (m *Member) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = true
	if m.running != nil {
		return nil
	}
	return m.start()
}

// start needs mu held.
func (m *Member) start() error {
	settings, err := m.writeSettings()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(m.rig.dir, m.Name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", m.Name, err)
	}
	if info, err := log.Stat(); err == nil {
		m.logFrom = info.Size()
	}
	//nolint:gosec,noctx // G204: the program under test, which the rig ends itself
	cmd := exec.Command(m.rig.options.Programs.Tender, "serve", "--config", settings)
	cmd.Env = m.rig.environ
	cmd.Stdout, cmd.Stderr = log, log
	process, err := servers.Launch(cmd)
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	m.running, m.expected = process, false
	go m.watch(process)
	return nil
}

// watch records a process that ended by itself, and starts its successor.
func (m *Member) watch(process *servers.Process) {
	<-process.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running != process {
		return
	}
	m.running = nil
	if !m.expected {
		m.rig.surprise(fmt.Sprintf("%s ended by itself: %v", m.Name, process.Err()))
	}
	if !m.wanted || m.rig.closed() {
		return
	}
	if !m.expected { // it may end by itself again
		time.AfterFunc(restartPause, m.startAgain)
		return
	}
	m.startSuccessor()
}

// restartPause is the pause before the rig starts a process again that ended by itself.
const restartPause = 500 * time.Millisecond

func (m *Member) startAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil && m.wanted && !m.rig.closed() {
		m.startSuccessor()
	}
}

// startSuccessor needs mu held.
func (m *Member) startSuccessor() {
	if err := m.start(); err != nil {
		m.rig.surprise(err.Error())
	}
}

// Kill ends the process with SIGKILL and returns when the process is gone. Another takes its
// place.
func (m *Member) Kill() error {
	process := m.expect()
	if process == nil {
		return fmt.Errorf("kill %s: it does not run", m.Name)
	}
	return end(process, syscall.SIGKILL)
}

// Renew asks the process to leave with SIGTERM, and another takes its place. A disorderly end is
// an error.
func (m *Member) Renew() error {
	process := m.expect()
	if process == nil {
		return fmt.Errorf("renew %s: it does not run", m.Name)
	}
	if err := end(process, syscall.SIGTERM); err != nil {
		return fmt.Errorf("renew %s: %w", m.Name, err)
	}
	if err := process.Err(); err != nil {
		return fmt.Errorf("renew %s: it was asked to leave and ended with %w", m.Name, err)
	}
	return nil
}

// Leave is Renew without a successor, until Start.
func (m *Member) Leave() error {
	m.mu.Lock()
	m.wanted = false
	m.mu.Unlock()
	process := m.expect()
	if process == nil {
		return nil
	}
	if err := process.Signal(syscall.SIGCONT); err != nil { // it may stand still
		return fmt.Errorf("resume %s: %w", m.Name, err)
	}
	if err := end(process, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ask %s to leave: %w", m.Name, err)
	}
	return nil
}

// Pause stops the process with SIGSTOP.
func (m *Member) Pause() error { return m.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (m *Member) Resume() error { return m.signal(syscall.SIGCONT) }

func (m *Member) signal(signal syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		return fmt.Errorf("send %s to %s: it does not run", signal, m.Name)
	}
	return m.running.Signal(signal)
}

// expect returns the present process and marks its end as expected.
func (m *Member) expect() *servers.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected = true
	return m.running
}

func end(process *servers.Process, signal syscall.Signal) error {
	if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(termWait)
	defer limit.Stop()
	select {
	case <-process.Done():
		return nil
	case <-limit.C:
		return fmt.Errorf("it does not end on %s within %s", signal, termWait)
	}
}

// awaitReady returns when the present process has logged that it is ready, or when ctx is done.
func (m *Member) awaitReady(ctx context.Context) error {
	return poll(ctx, "wait for "+m.Name+" to be ready", func() bool {
		m.mu.Lock()
		from, running := m.logFrom, m.running != nil
		m.mu.Unlock()
		text, err := os.ReadFile(filepath.Join(m.rig.dir, m.Name+".log"))
		return err == nil && running && int64(len(text)) >= from && bytes.Contains(text[from:], []byte(readyLine))
	})
}

// readyLine is the text that serve logs once all its roles run.
const readyLine = "  ready  "

const (
	// deliveriesMax is large because one command may meet many faults.
	deliveriesMax = 40
	webhookSecret = "whsec_rig" //nolint:gosec // G101: signs the notifications of the simulators, which live for one run
)

// writeSettings writes the configuration of the member into the folder of the rig and returns its
// path. The file holds passwords of private servers.
func (m *Member) writeSettings() (string, error) {
	r := m.rig
	var b strings.Builder
	fmt.Fprintf(&b, `nats: {url: %q, name: %q, connect_timeout: 1s}
streams: {replicas: %d, duplicates: %s}
postgres: {url: %q, max_conns: %d, min_conns: 1, connect_timeout: 1s, statement_timeout: 10s}
roles: [%s]
worker: {slots_max: %d, ack_wait: %s, deliveries_max: %d, patience: 2s, handle_timeout: 4s}
store: {committers: %d}
outbox: {poll_interval: 100ms}
scheduler: {poll_interval: 100ms, lease: 3s}
shutdown: {drain_timeout: 10s}
log: {level: info, format: console}
`, strings.Join(m.links.natsURLs(r.NATSURL()), ","), m.Name, nodes, Duplicates,
		m.links.postgresURL(r.servingURL), m.connsMax, strings.Join(m.roles, ", "), m.slotsMax, AckWait, deliveriesMax, m.committers())
	b.WriteString(retrySettings)
	routing := filepath.Join(r.dir, m.Name+".routing.yaml") // one for each member: others read theirs meanwhile
	if err := os.WriteFile(routing, []byte(rules(r.gatewayNames())), 0o600); err != nil {
		return "", fmt.Errorf("write the routing rules: %w", err)
	}
	fmt.Fprintf(&b, "routing: {default: %s, rules_file: %q}\n", r.gatewayNames()[0], routing)
	fmt.Fprintf(&b, "webhook: {listen: %q}\n", r.webhookAddr)
	b.WriteString("gateways:\n")
	for _, name := range r.gatewayNames() {
		fmt.Fprintf(&b, gatewaySettings, name, "http://"+m.links.gateways[name].Addr(), webhookSecret,
			CallTimeout, CallTimeout, CallTimeout, CallTimeout, CallTimeout)
	}
	path := filepath.Join(r.dir, m.Name+".yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("write settings of %s: %w", m.Name, err)
	}
	return path, nil
}

const retrySettings = `retry:
  unknown_replays: [300ms, 1s, 3s, 6s]
  unknown_lookups: [8s, 12s, 18s, 27s]
  not_sent_initial: 200ms
  not_sent_max: 2s
  not_sent_give_up: 10m
  pending_check: 2s
`

const gatewaySettings = `  %s:
    kind: http
    tokens: simulated
    url: %q
    webhook_secret: %q
    timeouts: {authorize: %s, capture: %s, void: %s, refund: %s, lookup: %s}
    concurrency_max: 24
    retry: {tries_max: 2, initial: 20ms, max: 100ms}
    breaker: {failure_ratio: 0.9, requests_min: 50, window: 2s, open_for: 300ms, probes_max: 5}
`

// rules sends payments to either gateway, and to the other one where failover is safe.
func rules(names []string) string {
	first, last := names[0], names[len(names)-1]
	if first == last {
		return fmt.Sprintf("version: 1\nrules:\n  - name: default\n    to: [{gateway: %s}]\n", first)
	}
	return fmt.Sprintf(twoGateways, first, last, last, first, first, last)
}

const twoGateways = `version: 1
rules:
  - name: acme
    match: {tenant: acme}
    to: [{gateway: %s}]
    failover: {to: [%s], on_decline: true}
  - name: default
    to: [{gateway: %s, weight: 3}, {gateway: %s, weight: 1}]
    failover: {to: [%s, %s], on_decline: true}
`
