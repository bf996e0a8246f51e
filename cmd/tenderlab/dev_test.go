package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// runningDev is a `tenderlab dev` in a process of its own.
type runningDev struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	output lockedBuffer
	ended  chan error
}

// lockedBuffer holds the output of a process so far.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// in is an invocation of a program in a folder, without the variables of the test that would
// configure it.
func in(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TENDER_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	return cmd
}

// startDev returns when dev has printed its suggestions.
func startDev(t *testing.T, dir string, args ...string) *runningDev {
	t.Helper()
	d := &runningDev{t: t, dir: dir, ended: make(chan error, 1)}
	d.cmd = in(context.WithoutCancel(t.Context()), dir, "tenderlab", append([]string{"dev", "--data", filepath.Join(dir, "data")}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	servers.Eventually(t, "tenderlab dev prints its suggestions", func() bool {
		select {
		case err := <-d.ended:
			t.Fatalf("it ended: %v\n%s", err, d.output.String())
		default:
		}
		return strings.Contains(d.output.String(), "psql '")
	})
	return d
}

// stop signals it and expects it to drain and exit with 0.
func (d *runningDev) stop(signal os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil {
		d.t.Fatal(err)
	}
	if err := <-d.ended; err != nil {
		d.t.Errorf("after %s: %v\n%s", signal, err, d.output.String())
	}
	if _, err := os.Stat(filepath.Join(d.dir, term.DevFile)); !errors.Is(err, os.ErrNotExist) {
		d.t.Errorf("%s is still there (%v)", term.DevFile, err)
	}
}

// tender runs another command beside it.
func (d *runningDev) tender(args ...string) string {
	d.t.Helper()
	out, err := in(d.t.Context(), d.dir, "tender", args...).CombinedOutput()
	if err != nil {
		d.t.Errorf("tender %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// follow publishes the line that dev suggests, as the nats command line would, and returns the
// payment's id.
func (d *runningDev) follow() uuid.UUID {
	d.t.Helper()
	text := d.output.String()
	line := regexp.MustCompile(`nats pub --jetstream (payments\.cmd\.acme\.create\.(\S+)) \\\n\s+'(.*)' -H Nats-Msg-Id:(\S+)\n`).FindStringSubmatch(text)
	if line == nil {
		d.t.Fatalf("it suggests nothing to publish:\n%s", text)
	}
	server := nats.DefaultURL // if another program freed that port meanwhile
	if named := regexp.MustCompile(`export NATS_URL=(\S+)\n`).FindStringSubmatch(text); named != nil {
		server = named[1]
	}
	nc, err := nats.Connect(server)
	if err != nil {
		d.t.Fatal(err)
	}
	defer nc.Close()
	js := servers.JetStream(d.t, nc)
	msg := &nats.Msg{Subject: line[1], Header: nats.Header{messages.HeaderMessageID: {line[4]}}, Data: []byte(line[3])}
	if _, err := js.PublishMsg(d.t.Context(), msg); err != nil {
		d.t.Fatal(err)
	}
	return uuid.MustParse(line[2])
}

// dispute runs the suggested lines about a dispute, until the gateway's webhook has arrived.
func (d *runningDev) dispute() {
	d.t.Helper()
	line := regexp.MustCompile(`tender (pay create --id (\S+) .*pm_card_createDispute --wait)\n`).FindStringSubmatch(d.output.String())
	if line == nil {
		d.t.Fatalf("it suggests no dispute:\n%s", d.output.String())
	}
	if out := d.tender(strings.Fields(line[1])...); !strings.Contains(out, "captured") {
		d.t.Errorf("the suggested payment came out as:\n%s", out)
	}
	servers.Eventually(d.t, "the gateway tells of the dispute", func() bool {
		return strings.Contains(d.tender("history", line[2]), string(messages.EventDisputeOpened))
	})
}

// takePorts makes sure that the usual ports are taken, by this test or by another program.
func takePorts(t *testing.T, ports ...string) {
	t.Helper()
	for _, port := range ports {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
	}
}

func TestDevKeepsItsPayments(t *testing.T) {
	takePorts(t, "4222", "8585", "8586", "5432")
	dir := passableDir(t)
	first := startDev(t, dir)
	id := first.follow()
	servers.Eventually(t, "the suggested payment is captured", func() bool {
		return strings.Contains(first.tender("list", "--status", "captured", "--quiet"), id.String())
	})
	if out := first.tender("pay", "create", "--amount", "700", "--currency", "EUR", "--method", "pm_card_visa", "--wait"); !strings.Contains(out, "captured") {
		t.Errorf("a payment beside it came out as:\n%s", out)
	}
	first.dispute()
	if out, err := in(t.Context(), dir, "tenderlab", "dev", "--data", filepath.Join(dir, "data")).CombinedOutput(); err == nil || !strings.Contains(string(out), "another tenderlab dev uses it") {
		t.Errorf("a second one on the same data: %v\n%s", err, out)
	}
	first.stop(syscall.SIGINT)

	second := startDev(t, dir)
	if out := second.tender("get", id.String()); !strings.Contains(out, "captured") {
		t.Errorf("after a restart the payment is:\n%s", out)
	}
	second.tender("verify")
	second.stop(syscall.SIGTERM)

	third := startDev(t, dir, "--clean")
	if out := third.tender("list", "--quiet"); strings.Contains(out, id.String()) {
		t.Errorf("after --clean there still is:\n%s", out)
	}
	third.stop(syscall.SIGTERM)
}

func TestDevTakesThePortItIsToldOrNone(t *testing.T) {
	t.Parallel()
	dir := passableDir(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	out, err := in(t.Context(), dir, "tenderlab", "dev", "--data", dir, "--nats-port", port).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "start NATS: ") || !strings.Contains(string(out), port) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDevFileIsAConfiguration(t *testing.T) {
	t.Parallel()
	want := config.Default()
	tuneDev(&want)
	want.NATS.URL = "nats://127.0.0.1:14222"
	want.Postgres.URL = `postgres://tender_serve:p%20a%22ss@127.0.0.1:15432/tender?sslmode=disable`
	gateway := want.Gateways[want.Routing.Default]
	gateway.URL = "http://127.0.0.1:18585"
	gateway.WebhookSecret = `a "secret"`
	want.Gateways[want.Routing.Default] = gateway

	path := filepath.Join(t.TempDir(), "folder", "dev.yaml")
	forget, err := leaveDevFile(path, want)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	got, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := want.Routing.Default
	if got.Gateways[name].WebhookSecret.Reveal() != want.Gateways[name].WebhookSecret.Reveal() {
		t.Error("it holds another secret")
	}
	if got.NATS.URL != want.NATS.URL || got.Postgres.URL != want.Postgres.URL || got.Gateways[name].URL != want.Gateways[name].URL {
		t.Errorf("it leads to %s, %s and %s", got.NATS.URL, got.Postgres.URL, got.Gateways[name].URL)
	}
	if err := forget(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there (%v)", err)
	}
}

func TestDevFileOfAnotherProcessIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dev.yaml")
	forget, err := leaveDevFile(path, config.Default())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("nats:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := forget(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestCleanLeavesOtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine, theirs := filepath.Join(dir, sandboxNATS), filepath.Join(dir, "thesis.txt")
	if err := errors.Join(os.Mkdir(mine, 0o700), os.WriteFile(theirs, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	state, err := claimDevState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(state.clean(), state.release()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mine); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there", mine)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error(err)
	}
}

func TestProgramNameIsHowItWasCalled(t *testing.T) {
	t.Parallel()
	for called, want := range map[string]string{"tenderlab": "tender", "bin/tenderlab": "bin/tender", "./tenderlab": "./tender"} {
		if got := programName([]string{called}); got != called {
			t.Errorf("%s: it calls itself %s", called, got)
		}
		if got := siblingName([]string{called}); got != want {
			t.Errorf("%s: it calls its sibling %s", called, got)
		}
	}
}
