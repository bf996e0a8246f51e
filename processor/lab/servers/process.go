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

// Process is a program that [Launch] started. Its methods may be called from several goroutines.
type Process struct{ process *process }

// Launch starts a program that ends with this process, however this process ends (on Linux through
// the kernel). The program is in a separate process group, so a Ctrl-C at the terminal does not
// reach it.
func Launch(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, syscall.SIGKILL)
	started, err := launch(cmd)
	if err != nil {
		return nil, err
	}
	return &Process{started}, nil
}

// Signal sends a signal. A program that has ended is no error.
func (p *Process) Signal(signal syscall.Signal) error { return p.process.signal(signal) }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.process.done }

// Err waits for the end of the program and returns its error, nil for exit code 0.
func (p *Process) Err() error {
	<-p.process.done
	return p.process.err
}

// The limits for a server to end before it gets a harder signal: generous, because the machine may
// be busy.
const (
	stopWait = time.Minute
	quitWait = time.Minute
)

// process is a started server program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // the result of the program; read it after done
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

// watch starts the program and waits for it on one thread of its own. Linux delivers the
// parent-death signal when the thread that started the child ends, not the process, so this thread
// has to live as long as the server.
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

// stop ends a PostgreSQL server: fast shutdown (clients are cut off, everything is written), then
// an immediate one, then the hard way. It returns an error when the first was not enough, or when
// the server had failed before.
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

// freeze stops a process and returns when all its threads stand still.
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

// thaw continues a frozen process.
func thaw(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %s to process %d: %w", syscall.SIGCONT, pid, err)
	}
	return nil
}
