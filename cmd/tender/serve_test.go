package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/cmd/internal/scripts"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

const (
	fleetSize     = 3
	fleetPayments = 300
)

// TestServeSurvivesKill runs three processes that share one bus, one database and one gateway,
// kills one in the middle of the work, and wants every payment finished, charged exactly once, and
// the books in order.
func TestServeSurvivesKill(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	ids := f.publish(t)

	victim := f.members[0]
	servers.Eventually(t, "a fifth of the payments to be captured, and every process to have a hand in it", func() bool {
		return f.captured.Load() >= fleetPayments/5 && f.allWork()
	})
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatalf("kill a process: %v", err)
	}
	_ = victim.cmd.Wait() // reports the signal
	if done := f.captured.Load(); done >= fleetPayments {
		t.Fatalf("all %d payments were captured before the kill, which then shows nothing", done)
	}
	f.killed()

	servers.Eventually(t, "every payment to be captured", func() bool { return f.captured.Load() >= fleetPayments })
	for _, m := range f.members[1:] {
		m.leave(t)
	}
	f.checkBooks(t, ids)
}

// TestServeLeavesDuringOutage stops a process while NATS is away: it must not wait for NATS.
func TestServeLeavesDuringOutage(t *testing.T) {
	t.Parallel()
	link := servers.NATS(t)
	f := &fleet{environ: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), scripts.QuickExit(), "TENDER_GATEWAYS_SIMULATOR_KIND=sim", "TENDER_ALLOW_SIMULATOR=true",
		"TENDER_NATS_URL=" + link.URL(), "TENDER_POSTGRES_URL=" + servers.Database(t), "TENDER_SHUTDOWN_DRAIN_TIMEOUT=2s",
	}}
	f.tender(t, "migrate")
	f.tender(t, "provision")
	m := f.start(t)
	m.says(t, `"msg":"ready"`)
	link.Down()
	m.says(t, `"msg":"lost the connection to NATS`)
	m.leave(t)
	m.says(t, `"msg":"drained"`)
}

// fleet holds several processes of `tender serve` and the servers that they share.
type fleet struct {
	environ   []string
	nc        *nats.Conn
	simulator *simulator.Simulator
	members   []*member
	// captured counts the payments whose capture was seen on the bus.
	captured atomic.Int64
	// answers counts the calls to the gateway; killing is done when the kill is.
	answers atomic.Int64
	killing context.Context //nolint:containedctx // the time until the kill
	killed  context.CancelFunc
}

// gate lets half of the calls through at once and the others after the kill, so that the kill
// strikes in the middle of work.
func (f *fleet) gate(ctx context.Context) {
	if f.answers.Add(1) <= fleetPayments/2 {
		return
	}
	select {
	case <-f.killing.Done():
	case <-ctx.Done(): // the caller has given up, or was killed
	}
}

// member is one process.
type member struct {
	cmd  *exec.Cmd
	log  string
	asks atomic.Int64 // requests it made to the gateway
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	link := servers.NATS(t)
	served, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatalf("open the simulator: %v", err)
	}
	f := &fleet{
		nc: link.Connect(t), simulator: served,
		environ: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), scripts.QuickExit(),
			"TENDER_NATS_URL=" + link.URL(), "TENDER_POSTGRES_URL=" + servers.Database(t),
			// Small enough that all processes get work, and that the others soon take over the
			// victim's.
			"TENDER_WORKER_SLOTS_MAX=16", "TENDER_WORKER_ACK_WAIT=2s", "TENDER_POSTGRES_MAX_CONNS=8",
		},
	}
	f.killing, f.killed = context.WithCancel(context.WithoutCancel(t.Context()))
	// Each process reaches the gateway by a path of its own, which shows who did what.
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		f.killed()
		_ = served.Close() // releases what is held back, so that the server can close
		server.Close()
	})
	f.tender(t, "migrate")
	f.tender(t, "provision")
	f.watch(t)
	for i := range fleetSize {
		path := "/" + strconv.Itoa(i)
		m := f.start(t, "TENDER_GATEWAYS_SIMULATOR_URL="+server.URL+path)
		mux.Handle(path+"/", http.StripPrefix(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			m.asks.Add(1)
			f.gate(r.Context())
			served.Handler("").ServeHTTP(w, r)
		})))
		f.members = append(f.members, m)
	}
	return f
}

// tender runs a command to its end and returns its output.
func (f *fleet) tender(t *testing.T, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	e := &term.Env{Program: "tender", Stdout: &stdout, Stderr: &stderr, Environ: f.environ, Now: time.Now}
	if code := e.Main(context.WithoutCancel(t.Context()), args, newRoot); code != 0 {
		t.Fatalf("tender %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes()
}

// start starts a process of its own.
func (f *fleet) start(t *testing.T, more ...string) *member {
	t.Helper()
	path, err := exec.LookPath("tender")
	if err != nil {
		t.Fatalf("find the program: %v", err)
	}
	m := &member{log: filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(m.log)
	if err != nil {
		t.Fatalf("open a log: %v", err)
	}
	defer func() { _ = log.Close() }() // the process has its own handle
	m.cmd = exec.Command(path, "serve")
	m.cmd.Env = append(f.environ, more...)
	m.cmd.Stderr = log
	if err := m.cmd.Start(); err != nil {
		t.Fatalf("start a process: %v", err)
	}
	t.Cleanup(func() {
		if m.cmd.ProcessState == nil {
			_ = m.cmd.Process.Kill()
			_ = m.cmd.Wait()
		}
		if t.Failed() {
			text, _ := os.ReadFile(m.log)
			t.Logf("the log of process %d:\n%s", m.cmd.Process.Pid, text)
		}
	})
	return m
}

// leave stops a process with a signal and expects it to drain.
func (m *member) leave(t *testing.T) {
	t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("signal a process: %v", err)
	}
	if err := m.cmd.Wait(); err != nil {
		t.Errorf("a process that was told to stop: %v", err)
	}
}

// says waits until the process has logged a text.
func (m *member) says(t *testing.T, text string) {
	t.Helper()
	servers.Eventually(t, "the process to log "+text, func() bool {
		log, err := os.ReadFile(m.log)
		return err == nil && bytes.Contains(log, []byte(text))
	})
}

// watch counts captures, each payment's once.
func (f *fleet) watch(t *testing.T) {
	t.Helper()
	seen := map[uuid.UUID]bool{}
	sub, err := f.nc.Subscribe("payments.evt.acme.payment.captured.*", func(msg *nats.Msg) {
		_, _, id, err := messages.ParseEventSubject(msg.Subject)
		if err != nil {
			t.Errorf("an event on %s: %v", msg.Subject, err)
			return
		}
		if !seen[id] {
			seen[id] = true
			f.captured.Add(1)
		}
	})
	if err != nil {
		t.Fatalf("subscribe to events: %v", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatalf("lift the limits of the subscription: %v", err)
	}
}

// publish publishes the payments and returns their ids.
func (f *fleet) publish(t *testing.T) []uuid.UUID {
	t.Helper()
	client, err := client.New(f.nc, client.Config{Tenant: "acme"})
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	ids := make([]uuid.UUID, 0, fleetPayments)
	for range fleetPayments {
		ack, err := client.Publish(t.Context(), messages.Command{Body: &messages.Create{
			AmountMinor: 1999, Currency: "USD", PaymentMethod: "sim_slow_40",
		}})
		if err != nil {
			t.Fatalf("publish: %v", err)
		}
		ids = append(ids, ack.Command.PaymentID)
	}
	return ids
}

func (f *fleet) allWork() bool {
	for _, m := range f.members {
		if m.asks.Load() == 0 {
			return false
		}
	}
	return true
}

// checkBooks compares the gateway's ledger, the database and the bus.
func (f *fleet) checkBooks(t *testing.T, ids []uuid.UUID) {
	t.Helper()
	books := f.simulator.Snapshot()
	for _, id := range ids {
		done, found := books.Payment(id)
		if !found || done.Effects != 1 || done.CapturedMinor != 1999 {
			t.Errorf("payment %s: the gateway did %+v, want one capture of 1999", id, done)
		}
	}
	if n := len(books.Payments); n != fleetPayments {
		t.Errorf("the gateway knows %d payments, want %d", n, fleetPayments)
	}
	captured := bytes.Count(f.tender(t, "list", "--status", "captured", "--all", "--json"), []byte("\n"))
	if captured != fleetPayments {
		t.Errorf("%d payments are captured in the database, want %d", captured, fleetPayments)
	}
	var outboxNow outboxView
	if err := json.Unmarshal(f.tender(t, "outbox", "status", "--json"), &outboxNow); err != nil || outboxNow.Waiting+outboxNow.Parked != 0 {
		t.Errorf("the outbox holds %+v after the drain (%v), want nothing", outboxNow, err)
	}
	f.tender(t, "verify") // exit code 0
	f.checkSettled(t)
}

// checkSettled wants every command acknowledged and none given up.
func (f *fleet) checkSettled(t *testing.T) {
	t.Helper()
	js := servers.JetStream(t, f.nc)
	workers, err := js.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		t.Fatalf("look at the workers' consumer: %v", err)
	}
	if info := workers.CachedInfo(); info.NumAckPending != 0 || info.NumPending != 0 {
		t.Errorf("%d commands are not acknowledged and %d not delivered, want none", info.NumAckPending, info.NumPending)
	}
	letters, err := js.Stream(t.Context(), messages.StreamDeadLetters)
	if err != nil {
		t.Fatalf("look at the dead letters: %v", err)
	}
	if n := letters.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}
