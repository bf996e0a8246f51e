package servers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// How long a server may take to end before it is asked less politely.
const (
	stopWait = 20 * time.Second
	quitWait = 20 * time.Second
)

// process is a started server program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; read it after done
}

// launch starts the program and watches it to its end.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.watch(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// watch starts the program and waits for it on one thread of its own. Linux delivers the parent-death signal when the
// thread that started the child ends, not the process, so this thread has to live as long as the server.
func (p *process) watch(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// running reports whether the program has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal; a program that has ended is no error.
func (p *process) signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s: %w", signal, p.cmd.Path, err)
	}
	return nil
}

// stop ends a PostgreSQL server: fast shutdown (clients are cut off, everything is written), then an immediate one,
// then the hard way. It returns an error when the first was not enough, or when the server had failed before.
func (p *process) stop() error {
	steps := []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, stopWait}, {syscall.SIGQUIT, quitWait}, {syscall.SIGKILL, quitWait}}
	for i, step := range steps {
		if err := p.signal(step.signal); err != nil {
			return err
		}
		if !p.ended(step.wait) {
			continue
		}
		if i > 0 {
			return fmt.Errorf("stop %s: had to send %s", p.cmd.Path, step.signal)
		}
		if p.err != nil {
			return fmt.Errorf("stop %s: it ended with %w", p.cmd.Path, p.err)
		}
		return nil
	}
	return fmt.Errorf("stop %s: process %d does not end", p.cmd.Path, p.cmd.Process.Pid)
}

func (p *process) ended(within time.Duration) bool {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	select {
	case <-p.done:
		return true
	case <-timeout.C:
		return false
	}
}

// freeze holds a process still and returns when it is.
func freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", syscall.SIGSTOP, pid, err)
	}
	limit := time.NewTimer(quitWait)
	defer limit.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for !stopped(pid) {
		select {
		case <-look.C:
		case <-limit.C:
			return fmt.Errorf("hold process %d still: it goes on", pid)
		}
	}
	return nil
}

// thaw lets a frozen process go on.
func thaw(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", syscall.SIGCONT, pid, err)
	}
	return nil
}
