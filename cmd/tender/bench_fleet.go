package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-384b1f8a/tender/processor/lab/bench"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// benchFleet is the processes that a benchmark measures.
type benchFleet struct{ members []*benchMember }

// benchMember is one of them.
type benchMember struct {
	process *servers.Process
	begin   *os.File // its standard input
	said    *bufio.Reader
	output  *os.File
	log     string
}

// benchTask says what the processes are to be like.
type benchTask struct {
	processes int
	slotsMax  int
	gateway   bench.GatewayConfig
	// profile is where the first of them puts its profiles, "" if there are none to be: a prefix of two files.
	profile string
}

// launch starts processes that have everything they need, and wait to begin.
func (s *benchStage) launch(t benchTask) (*benchFleet, error) {
	f := &benchFleet{}
	for i := range t.processes {
		m, err := s.launchMember(t, i)
		if err != nil {
			return nil, errors.Join(err, f.kill())
		}
		f.members = append(f.members, m)
	}
	for _, m := range f.members {
		if line, err := m.said.ReadString('\n'); strings.TrimSpace(line) != benchOpened {
			failed := fmt.Errorf("a worker of the benchmark does not start: %s", m.tail())
			return nil, errors.Join(failed, err, f.kill())
		}
	}
	return f, nil
}

func (s *benchStage) launchMember(t benchTask, number int) (*benchMember, error) {
	arguments := []string{
		"bench-worker", "--latency", t.gateway.Latency.String(), "--tail", t.gateway.Tail.String(),
		"--declined", strconv.Itoa(t.gateway.Declined), "--unknown", strconv.Itoa(t.gateway.Unknown),
	}
	if t.profile != "" && number == 0 {
		arguments = append(arguments, "--cpuprofile", t.profile+".cpu.pprof", "--memprofile", t.profile+".alloc.pprof")
	}
	if s.bench.configFile != "" {
		arguments = append(arguments, "--config", s.bench.configFile)
	}
	cmd := exec.Command(s.bench.program, arguments...) //nolint:gosec,noctx // G204: this program itself, which the fleet ends
	cmd.Env = s.environ(t.slotsMax, number)
	m := &benchMember{log: filepath.Join(s.dir, fmt.Sprintf("worker-%d.log", number))}
	log, err := os.Create(m.log)
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	input, begin, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), log.Close())
	}
	output, told, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a pipe: %w", err), log.Close(), input.Close(), begin.Close())
	}
	m.begin, m.output, m.said = begin, output, bufio.NewReader(output)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, told, log
	m.process, err = servers.Launch(cmd)
	// The process has its own copies.
	return m, errors.Join(err, input.Close(), told.Close(), log.Close())
}

// start lets all processes begin.
func (f *benchFleet) start() error {
	var errs []error
	for _, m := range f.members {
		if _, err := m.begin.WriteString("begin\n"); err != nil {
			errs = append(errs, fmt.Errorf("begin: %w", err))
		}
	}
	return errors.Join(errs...)
}

// stop lets the processes drain and returns what they say.
func (f *benchFleet) stop() ([]benchFigures, error) {
	var errs []error
	for _, m := range f.members {
		errs = append(errs, m.process.Signal(syscall.SIGTERM))
	}
	figures := make([]benchFigures, len(f.members))
	for i, m := range f.members {
		text, err := io.ReadAll(m.said)
		if err == nil {
			err = json.Unmarshal(text, &figures[i])
		}
		if err = errors.Join(err, m.process.Err()); err != nil {
			errs = append(errs, fmt.Errorf("a worker of the benchmark: %w; its log: %s", err, m.tail()))
		}
	}
	return figures, errors.Join(append(errs, f.kill())...)
}

// kill ends what still runs.
func (f *benchFleet) kill() error {
	var errs []error
	for _, m := range f.members {
		errs = append(errs, m.process.Signal(syscall.SIGKILL))
		<-m.process.Done()
		_ = m.begin.Close() // nobody reads from it
		_ = m.output.Close()
	}
	f.members = nil
	return errors.Join(errs...)
}

// explain adds to an error what the processes logged.
func (f *benchFleet) explain(err error) error {
	if err == nil {
		return nil
	}
	for _, m := range f.members {
		if log := m.tail(); log != "" {
			err = fmt.Errorf("%w\na worker's log ends with: %s", err, log)
		}
	}
	return err
}

// tail is the end of the member's log.
func (m *benchMember) tail() string {
	const most = 2000
	text, err := os.ReadFile(m.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
