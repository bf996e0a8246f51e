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
	"sync"
	"syscall"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// The roles of a member.
const (
	roleWorker    = "worker"
	roleRelay     = "relay"
	roleScheduler = "scheduler"
	roleWebhook   = "webhook"
)

// termWait is how long a process that was asked to leave may take; its own drain timeout is shorter.
const termWait = 20 * time.Second

// Member is one process of `tender serve`. It is started again whenever it ends, as every platform would; its methods may
// be called from several goroutines.
type Member struct {
	Name     string
	roles    []string
	links    *links
	slotsMax int
	connsMax int

	lab *Lab
	mu  sync.Mutex
	// running is the present process; nil between two.
	running *servers.Process
	// wanted is false while the member is to stay down.
	wanted bool
	// expected says that the end of the present process was brought about.
	expected bool
	// logFrom is where the log of the present process begins.
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

// start is called with mu held.
func (m *Member) start() error {
	settings, err := m.lab.writeSettings(m)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(m.lab.dir, m.Name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", m.Name, err)
	}
	if info, err := log.Stat(); err == nil {
		m.logFrom = info.Size()
	}
	//nolint:gosec,noctx // G204: the program under test, which the lab ends itself
	cmd := exec.Command(m.lab.options.Programs.Tender, "serve", "--config", settings)
	cmd.Env = m.lab.environ
	cmd.Stdout, cmd.Stderr = log, log
	process, err := servers.Launch(cmd)
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	m.running, m.expected = process, false
	go m.watch(process)
	return nil
}

// watch notes a process that ended of its own accord, and starts its successor.
func (m *Member) watch(process *servers.Process) {
	<-process.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running != process {
		return
	}
	m.running = nil
	if !m.expected {
		m.lab.surprise(fmt.Sprintf("%s ended by itself: %v", m.Name, process.Err()))
	}
	if !m.wanted || m.lab.closed() {
		return
	}
	if !m.expected { // it may end by itself again
		time.AfterFunc(restartPause, m.startAgain)
		return
	}
	m.startSuccessor()
}

// restartPause is how long a platform waits before it starts a process again that ended by itself.
const restartPause = 500 * time.Millisecond

func (m *Member) startAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil && m.wanted && !m.lab.closed() {
		m.startSuccessor()
	}
}

// startSuccessor is called with mu held.
func (m *Member) startSuccessor() {
	if err := m.start(); err != nil {
		m.lab.surprise(err.Error())
	}
}

// Kill ends the process with SIGKILL and returns when it is gone; another takes its place.
func (m *Member) Kill() error {
	process := m.expect()
	if process == nil {
		return fmt.Errorf("kill %s: it does not run", m.Name)
	}
	return end(process, syscall.SIGKILL)
}

// Renew lets the process leave with SIGTERM, and another takes its place. It is an error if it does not leave in order.
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

// Pause stops the process in its tracks.
func (m *Member) Pause() error { return m.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on as if nothing had been.
func (m *Member) Resume() error { return m.signal(syscall.SIGCONT) }

func (m *Member) signal(signal syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil {
		return fmt.Errorf("send %s to %s: it does not run", signal, m.Name)
	}
	return m.running.Signal(signal)
}

// expect returns the present process, whose end is then no surprise.
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

// awaitReady returns when the present process has said that it is ready, or ctx is done.
func (m *Member) awaitReady(ctx context.Context) error {
	return poll(ctx, "wait for "+m.Name+" to be ready", func() bool {
		m.mu.Lock()
		from, running := m.logFrom, m.running != nil
		m.mu.Unlock()
		text, err := os.ReadFile(filepath.Join(m.lab.dir, m.Name+".log"))
		return err == nil && running && int64(len(text)) >= from && bytes.Contains(text[from:], []byte(readyLine))
	})
}

// readyLine is what serve logs once all its roles run.
const readyLine = "  ready  "
