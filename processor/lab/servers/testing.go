package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-384b1f8a/tender/messages/bus"
)

const (
	// startWait bounds how long a private server may take to start in a test.
	startWait = time.Minute
	// eventuallyWait is how long Eventually waits when the test run has no nearer deadline.
	eventuallyWait = 2 * time.Minute
	// eventuallyPoll is how often it looks.
	eventuallyPoll = 5 * time.Millisecond
	// lastWords is how long before the deadline of the test run Eventually gives up, to say what it waited for.
	lastWords = 2 * time.Second
)

// shared is the PostgreSQL server of the running test binary. A test function receives nothing from TestMain but the process
// it runs in, so this is the one place where the two can meet.
//
//nolint:gochecknoglobals // see above; written under its own lock, and only in test binaries
var shared packageServer

// packageServer starts the server on the first use, so that packages and runs without a database cost nothing.
type packageServer struct {
	mu        sync.Mutex
	open      bool // between the start and the end of Main
	tried     bool
	running   *Postgres
	err       error
	originals map[string]*original
}

// original is a database that others are copied from.
type original struct {
	once sync.Once
	name string
	err  error
}

// Main runs the tests of a package with one private PostgreSQL server for all of them, and returns the exit code. Call it from
// TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
//
// When the tests have passed it also fails the package if goroutines outlive them. m is a [*testing.M], or whatever wraps one.
func Main(m interface{ Run() int }) int {
	shared.begin()
	code := m.Run()
	if err := shared.end(); err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(IgnoreLeaks()...); err != nil {
			fmt.Fprintln(os.Stderr, "harness: goroutines outlive the tests:", err)
			code = 1
		}
	}
	return code
}

// IgnoreLeaks returns the options for a test that checks for leaked goroutines itself, as [Main] does for the whole
// package: they leave out the one that watches the package's PostgreSQL server. A server of [NATS] ends with its test.
func IgnoreLeaks() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/seed-384b1f8a/tender/processor/lab/servers.(*process).watch"),
		// A server that stops in the middle of an atomic batch forgets the store in which it gathered it.
		goleak.IgnoreAnyFunction(server + ".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server + ".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server + "/ats.Register.func1"),
	}
}

// Database creates an empty database on the package's server and returns its URL, which carries the superuser's name and
// password. It is dropped at the end of the test, whoever is still connected.
func Database(t testing.TB) string {
	t.Helper()
	return database(t, (*Postgres).CreateDatabase)
}

// DatabaseWith is Database with what fill puts there, which is done once for all that ask for it by the same name, and copied: fill gets
// the URL of an empty database, and leaves no session open.
func DatabaseWith(t testing.TB, name string, fill func(ctx context.Context, url string) error) string {
	t.Helper()
	return database(t, func(pg *Postgres, ctx context.Context, database string) error {
		from, err := shared.original(name).filled(ctx, pg, fill)
		if err != nil {
			return err
		}
		return pg.CopyDatabase(ctx, database, from)
	})
}

// original returns the one of that name, filled or not.
func (p *packageServer) original(name string) *original {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.originals == nil {
		p.originals = map[string]*original{}
	}
	if p.originals[name] == nil {
		p.originals[name] = &original{name: databaseName("original of " + name)}
	}
	return p.originals[name]
}

// filled returns the database's name once it is filled. The others wait, and fail for the same reason.
func (o *original) filled(ctx context.Context, pg *Postgres, fill func(ctx context.Context, url string) error) (string, error) {
	o.once.Do(func() {
		if o.err = pg.CreateDatabase(ctx, o.name); o.err == nil {
			o.err = fill(ctx, pg.URL(o.name))
		}
	})
	return o.name, o.err
}

func database(t testing.TB, create func(*Postgres, context.Context, string) error) string {
	t.Helper()
	pg, err := shared.get()
	if err != nil {
		t.Fatalf("a database for %s: %v", t.Name(), err)
	}
	name := databaseName(t.Name())
	if err := create(pg, t.Context(), name); err != nil {
		t.Fatalf("a database for %s: %v", t.Name(), err)
	}
	t.Cleanup(func() {
		// The test's own context is done by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startWait)
		defer cancel()
		if err := pg.DropDatabase(ctx, name); err != nil {
			t.Errorf("after %s: %v", t.Name(), err)
		}
	})
	return pg.URL(name)
}

// databaseName is unique and lets a person tell whose it is; PostgreSQL cuts names at 63 bytes.
func databaseName(test string) string {
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '_'
		}
	}, test)
	return readable[:min(len(readable), 40)] + "_" + strings.ToLower(rand.Text()[:12])
}

func (p *packageServer) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
}

func (p *packageServer) get() (*Postgres, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return nil, errors.New("TestMain of this package has to call harness.Main")
	}
	if !p.tried {
		p.tried = true // one failure is enough: every further test would wait for the same one
		ctx, cancel := context.WithTimeout(context.Background(), startWait)
		defer cancel()
		p.running, p.err = StartPostgres(ctx, PostgresOptions{})
	}
	return p.running, p.err
}

func (p *packageServer) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	if p.running == nil {
		return nil
	}
	return p.running.Stop()
}

// NATSOption changes the options of a test's server.
type NATSOption func(*NATSOptions)

// NATS starts a NATS server with JetStream on a free loopback port with a folder of its own, for this test. It is stopped
// at the end of the test.
func NATS(t testing.TB, opts ...NATSOption) *NATSServer {
	t.Helper()
	options := NATSOptions{Dir: t.TempDir()}
	for _, opt := range opts {
		opt(&options)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startWait)
	defer cancel()
	s, err := StartNATS(ctx, options)
	if err != nil {
		t.Fatalf("a bus for %s: %v", t.Name(), err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("after %s: %v", t.Name(), err)
		}
	})
	return s
}

// Connect connects a client for this test; the connection is closed at its end.
func (s *NATSServer) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(s.URL(), opts...)
	if err != nil {
		t.Fatalf("connect %s to its bus: %v", t.Name(), err)
	}
	t.Cleanup(conn.Close)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, conn)
	return conn
}

// JetStream is JetStream as a test uses it itself: a request is made again until it is answered, for as long as Eventually
// waits. What is under test keeps to the times of production.
func JetStream(t testing.TB, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := bus.JetStream(conn, eventuallyWait)
	if err != nil {
		t.Fatalf("JetStream for %s: %v", t.Name(), err)
	}
	return js
}

// Restart takes the server down and up again on the same port and folder, as an upgrade would: streams are recovered from
// disk, and the clients that Connect made are back when it returns. Until a client has noticed that its connection is gone
// it says that it is connected, and what is asked through it is lost.
func (s *NATSServer) Restart(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	before := make(map[*nats.Conn]uint64)
	for _, conn := range s.clients {
		if conn.IsConnected() && conn.Opts.AllowReconnect {
			before[conn] = conn.Stats().Reconnects
		}
	}
	s.mu.Unlock()
	s.Down()
	ctx, cancel := context.WithTimeout(t.Context(), startWait)
	defer cancel()
	if err := s.Up(ctx); err != nil {
		t.Fatalf("restart the bus of %s: %v", t.Name(), err)
	}
	for conn, times := range before {
		Eventually(t, "a client is back after the restart of the bus", func() bool {
			return conn.IsClosed() || conn.IsConnected() && conn.Stats().Reconnects > times
		})
	}
}

// Eventually waits until cond holds, and fails the test with what was waited for when that takes longer than two minutes or than
// the test run has left. cond is called on the test's own goroutine, so it may use t.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	wait := eventuallyWait
	if timed, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if end, limited := timed.Deadline(); limited {
			wait = min(wait, time.Until(end)-lastWords)
		}
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	poll := time.NewTicker(eventuallyPoll)
	defer poll.Stop()
	for !cond() {
		select {
		case <-poll.C:
		case <-timeout.C:
			t.Fatalf("waited %s in vain: %s", wait, what)
		case <-t.Context().Done():
			t.Fatalf("the test ended while waiting: %s", what)
		}
	}
}
