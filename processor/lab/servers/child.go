package servers

import (
	"os/exec"
	"syscall"
)

// Process is a program that was started with [Launch]. Its methods may be called from several goroutines.
type Process struct{ process *process }

// Launch starts a program that ends with this process, however this one ends (on Linux the kernel sees to it). It is in a
// process group of its own, so that a Ctrl-C at the terminal does not reach it.
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

// Signal sends a signal. One that has ended is no error.
func (p *Process) Signal(signal syscall.Signal) error { return p.process.signal(signal) }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.process.done }

// Err says how the program ended: nil for exit code 0. It waits for the end.
func (p *Process) Err() error {
	<-p.process.done
	return p.process.err
}
