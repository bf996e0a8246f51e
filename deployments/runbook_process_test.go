package deployments_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// environ is what programs of the scene run with: nothing of the person's own who runs the test.
func (s *scene) environ() []string {
	env := []string{
		"PATH=" + strings.Join(append(s.programs.folders, os.Getenv("PATH")), string(os.PathListSeparator)),
		"HOME=" + s.home, "XDG_CONFIG_HOME=" + s.home, "NATS_URL=" + s.busURL(), "NO_COLOR=1", "TERM=dumb",
		"TENDER_CONFIG=" + s.configFile(), "TENDER_NATS_URL=" + s.busURL(), "TENDER_POSTGRES_URL=" + s.database, "TENDER_POSTGRES_MAX_CONNS=6",
		"TENDER_LOG_FORMAT=console",
		"TENDER_WORKER_ACK_WAIT=" + ackWait.String(), "TENDER_WORKER_SLOTS_MAX=16",
	}
	if s.made.gateways == "" {
		env = append(env, "TENDER_GATEWAYS_SIMULATOR_URL=http://"+s.gateway.address)
	}
	env = append(env, s.made.settings...)
	for name, value := range s.vars {
		env = append(env, name+"="+value)
	}
	return env
}

// shell runs a recipe and returns what it printed and its exit code.
func (s *scene) shell(script string) (string, int) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-euc", script)
	cmd.Dir, cmd.Env = s.home, s.environ()
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		s.t.Fatalf("run a recipe: %v\n%s", err, script)
	}
	return string(out), 0
}

// process is one `tender serve`.
type process struct {
	cmd   *exec.Cmd
	log   *bytes.Buffer
	ended chan struct{}
}

// serve starts Tender with these roles. It does not wait until it is ready, which with something
// missing it never is.
func (s *scene) serve(roles string, settings ...string) *process {
	s.t.Helper()
	p := &process{cmd: exec.Command(filepath.Join(s.programs.folders[0], "tender"), "serve", "--roles", roles), log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.home, append(s.environ(), settings...), p.log, p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatalf("start tender: %v", err)
	}
	go func() {
		_ = p.cmd.Wait() // the sender of the signal knows
		close(p.ended)
	}()
	s.processes = append(s.processes, p)
	return p
}

// serveAll starts one process with the usual roles.
func (s *scene) serveAll() { s.serve("worker,relay,scheduler") }

// end signals a process and waits for its end.
func (p *process) end(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may have ended
	<-p.ended
}

// stop ends every process in order.
func (s *scene) stop() {
	for _, p := range s.processes {
		p.end(syscall.SIGTERM)
	}
}

func (s *scene) killAll() {
	for _, p := range s.processes {
		p.end(syscall.SIGKILL)
		if s.t.Failed() {
			s.t.Logf("a process of tender said:\n%s", p.log)
		}
	}
}
