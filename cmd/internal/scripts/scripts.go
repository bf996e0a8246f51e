// Package scripts runs the test scripts of the programs tender and tenderlab, testdata/*.txtar,
// against real servers. It is for their tests alone.
package scripts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// raceEnv is the variable that steers the race detector. By default each process that is built with
// it waits for a second before it exits, and the tests run hundreds of processes to their end.
const raceEnv = "GORACE"

// requestTimeout bounds one request of a script to NATS or PostgreSQL.
const requestTimeout = 10 * time.Second

// QuickExit is the environment entry that keeps a process with the race detector from waiting
// before it exits. It is for processes that do not inherit the environment.
func QuickExit() string { return raceEnv + "=" + os.Getenv(raceEnv) }

// Main runs the tests of a package whose test binary is also the program: testscript puts it on the
// PATH under the program's name. It builds the sibling program beside it, and gives the tests their
// PostgreSQL server.
func Main(m *testing.M, program string, main func(), sibling string) {
	if err := os.Setenv(raceEnv, strings.TrimSpace("atexit_sleep_ms=0 "+os.Getenv(raceEnv))); err != nil {
		panic(err)
	}
	testscript.Main(packageRun{m: m, program: program, sibling: sibling}, map[string]func(){program: main})
}

type packageRun struct {
	m                *testing.M
	program, sibling string
}

// Run implements testscript.TestingM. It is not called in a process that is the program.
func (r packageRun) Run() int {
	if err := r.buildSibling(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return servers.Main(r.m)
}

// buildSibling builds with the race detector if the tests have it.
func (r packageRun) buildSibling() error {
	path, err := exec.LookPath(r.program)
	if err != nil {
		return fmt.Errorf("find %s: %w", r.program, err)
	}
	args := []string{"build", "-o", filepath.Join(filepath.Dir(path), r.sibling)}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/seed-384b1f8a/tender/cmd/"+r.sibling)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", r.sibling, err, out)
	}
	return nil
}

// Run runs testdata/*.txtar, each with a database and a bus of its own. Beside the commands of
// testscript:
//
//	exits CODE program args...       runs the program and wants this exit code
//	eventually PATTERN program ...   runs the program until its standard output matches
//	start NAME program args...       runs it in the background, its output in NAME.out and NAME.err
//	until FILE PATTERN               waits until the file matches
//	end NAME SIGNAL CODE             signals a background program and wants this exit code
//	finish NAME CODE                 waits until a background program ends by itself and wants this exit code
//	newid VARIABLE                   sets a variable to a new payment id
//	publish SUBJECT KEY BODY         publishes as any producer might; @FILE is a body in a file
//	advise KIND SEQUENCE REASON      publishes the server's advisory about a command that it gave up
//	forget STREAM                    deletes a stream, as an operator might by mistake
//	signal NAME SIGNAL               signals a background program
//	sql STATEMENT                    runs a statement as the database's superuser
//	as ROLE                          connects the script's further programs as a role that has the password "secret"
//	capture VARIABLE PATTERN         sets a variable to the first group of the pattern in the last standard output
func Run(t *testing.T) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               prepareScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits, "eventually": cmdEventually, "start": cmdStart, "until": cmdUntil, "end": cmdEnd, "finish": cmdFinish,
			"newid": cmdNewID, "publish": cmdPublish, "capture": cmdCapture, "sql": cmdSQL,
			"as": cmdAs, "signal": cmdSignal, "advise": cmdAdvise, "forget": cmdForget,
		},
	})
}

// background holds the processes that a script has started, by name.
type background struct {
	mu      sync.Mutex
	running map[string]*exec.Cmd
}

type backgroundKey struct{}

// prepareScript gives a script its servers and sets their addresses in its environment.
func prepareScript(env *testscript.Env) error {
	t, ok := env.T().(testing.TB)
	if !ok {
		return errors.New("the script is not run by a test")
	}
	env.Setenv(config.EnvName("nats.url"), servers.NATS(t).URL())
	database := servers.Database(t)
	env.Setenv(config.EnvName("postgres.url"), database)
	env.Values[superuserKey{}] = database
	env.Setenv(config.EnvName("log.format"), "console")
	env.Setenv(raceEnv, os.Getenv(raceEnv))
	b := &background{running: map[string]*exec.Cmd{}}
	env.Values[backgroundKey{}] = b
	env.Defer(b.killAll)
	return nil
}

func (b *background) killAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cmd := range b.running {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func runs(ts *testscript.TestScript) *background {
	b, ok := ts.Value(backgroundKey{}).(*background)
	if !ok {
		ts.Fatalf("the script was not prepared")
	}
	return b
}

func wantArgs(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "exits CODE program args...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitCodeOf(ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func exitCodeOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}

// poll waits until a condition holds, for two minutes at most.
func poll(cond func() bool) bool {
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-limit.C:
			return false
		}
	}
	return true
}

func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "eventually PATTERN program args...")
	pattern := regexp.MustCompile("(?m)" + args[0])
	matched := poll(func() bool {
		_ = ts.Exec(args[1], args[2:]...)
		return pattern.MatchString(ts.ReadFile("stdout"))
	})
	if !matched {
		ts.Fatalf("the output never matched %s", pattern)
	}
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "start NAME program args...")
	name := args[0]
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = scriptEnviron(ts)
	stdout, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	stderr, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	ts.Check(cmd.Start())
	b := runs(ts)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running[name] = cmd
}

// scriptEnviron is the environment of the programs that the script starts.
func scriptEnviron(ts *testscript.TestScript) []string {
	environ := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), QuickExit()}
	names := []string{config.FileEnv}
	for _, key := range config.Reference() {
		names = append(names, strings.ReplaceAll(key.Env, "<NAME>", "SIMULATOR"))
	}
	for _, name := range names {
		if value := ts.Getenv(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}

func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "until FILE PATTERN")
	pattern := regexp.MustCompile("(?m)" + args[1])
	var content []byte
	matched := poll(func() bool {
		content, _ = os.ReadFile(ts.MkAbs(args[0]))
		return pattern.Match(content)
	})
	if !matched {
		ts.Fatalf("%s never matched %s:\n%s", args[0], pattern, content)
	}
}

func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, "end NAME SIGNAL CODE")
	sendSignal(ts, args[0], args[1])
	wantEnd(ts, args[0], args[2])
}

func cmdFinish(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "finish NAME CODE")
	wantEnd(ts, args[0], args[1])
}

func wantEnd(ts *testscript.TestScript, name, code string) {
	b := runs(ts)
	b.mu.Lock()
	cmd := b.running[name]
	delete(b.running, name)
	b.mu.Unlock()
	if cmd == nil {
		ts.Fatalf("%s was not started", name)
	}
	if got := strconv.Itoa(exitCodeOf(cmd.Wait())); got != code {
		log, _ := os.ReadFile(ts.MkAbs(name + ".err"))
		ts.Fatalf("%s: exit code %s, want %s; its log:\n%s", name, got, code, log)
	}
}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "signal NAME SIGNAL")
	sendSignal(ts, args[0], args[1])
}

func sendSignal(ts *testscript.TestScript, name, signal string) {
	b := runs(ts)
	b.mu.Lock()
	cmd := b.running[name]
	b.mu.Unlock()
	if cmd == nil {
		ts.Fatalf("%s was not started", name)
	}
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	ts.Check(cmd.Process.Signal(signals[signal]))
}

// superuserKey is the key under which a script keeps the URL of its database's superuser.
type superuserKey struct{}

func cmdSQL(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "sql STATEMENT")
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, fmt.Sprint(ts.Value(superuserKey{})))
	ts.Check(err)
	defer func() { ts.Check(conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, args[0])
	ts.Check(err)
}

func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "as ROLE")
	address, err := url.Parse(fmt.Sprint(ts.Value(superuserKey{})))
	ts.Check(err)
	address.User = url.UserPassword(args[0], "secret")
	ts.Setenv(config.EnvName("postgres.url"), address.String())
}

func cmdNewID(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "newid VARIABLE")
	ts.Setenv(args[0], uuid.Must(uuid.NewV7()).String())
}

func cmdPublish(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, "publish SUBJECT KEY BODY")
	nc, err := nats.Connect(ts.Getenv(config.EnvName("nats.url")))
	ts.Check(err)
	defer nc.Close()
	js, err := bus.JetStream(nc, 0)
	ts.Check(err)
	body := []byte(args[2])
	if file, isFile := strings.CutPrefix(args[2], "@"); isFile {
		body = bytes.TrimSpace([]byte(ts.ReadFile(file)))
	}
	msg := &nats.Msg{Subject: args[0], Header: nats.Header{}, Data: body}
	if args[1] != "" {
		msg.Header.Set(messages.HeaderMessageID, args[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	ack, err := js.PublishMsg(ctx, msg)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s %d\n", ack.Stream, ack.Sequence)
}

func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "capture VARIABLE PATTERN")
	groups := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(groups) < 2 {
		ts.Fatalf("%s matches nothing in:\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], groups[1])
}

func cmdAdvise(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, "advise KIND SEQUENCE REASON")
	subject := "$JS.EVENT.ADVISORY.CONSUMER." + args[0] + "." + messages.StreamCommands + "." + bus.ConsumerWorkers
	body := fmt.Sprintf(`{"timestamp":%q,"stream":%q,"consumer":%q,"stream_seq":%s,"deliveries":3,"reason":%q}`,
		time.Now().UTC().Format(time.RFC3339Nano), messages.StreamCommands, bus.ConsumerWorkers, args[1], args[2])
	cmdPublish(ts, false, []string{subject, "", body})
}

func cmdForget(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "forget STREAM")
	nc, err := nats.Connect(ts.Getenv(config.EnvName("nats.url")))
	ts.Check(err)
	defer nc.Close()
	js, err := bus.JetStream(nc, 0)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	ts.Check(js.DeleteStream(ctx, args[0]))
}
