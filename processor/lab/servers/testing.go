package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
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
	// eventuallyWait is the limit of Eventually when the test run has no nearer deadline.
	eventuallyWait = 2 * time.Minute
	// startWait is the limit for a private server to start in a test: the machine may be busy.
	startWait = eventuallyWait
	// eventuallyPoll is the interval at which Eventually checks its condition.
	eventuallyPoll = 5 * time.Millisecond
	// lastWords is the time that Eventually leaves before the deadline of the test run, to name
	// the condition.
	lastWords = 2 * time.Second
)

// shared is the PostgreSQL server of the running test binary. TestMain can pass nothing to a test
// function, so the two share this variable.
//
//nolint:gochecknoglobals // see above; written under its own lock, and only in test binaries
var shared packageServer

// packageServer starts its server on first use, so packages and runs without a database cost
// nothing.
type packageServer struct {
	mu        sync.Mutex
	open      bool // between the start and the end of Main
	tried     bool
	running   *Postgres
	err       error
	originals map[string]*original
}

// original is a database from which others are copied.
type original struct {
	once sync.Once
	name string
	err  error
}

// Main runs the tests of a package with one private PostgreSQL server for all of them, and returns
// the exit code. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
//
// When the tests have passed, Main also fails the package if goroutines outlive them. m is a
// [*testing.M] or a wrapper.
func Main(m interface{ Run() int }) int {
	shared.begin()
	code := m.Run()
	if err := shared.end(); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(IgnoreLeaks()...); err != nil {
			fmt.Fprintln(os.Stderr, "servers: goroutines outlive the tests:", err)
			code = 1
		}
	}
	return code
}

// IgnoreLeaks returns the options for a test that checks for leaked goroutines itself, as [Main]
// does for the whole package. They leave out the goroutine that watches the PostgreSQL server of
// the package, and those that a stopped NATS server leaves behind. A server of [NATS] ends with
// its test.
func IgnoreLeaks() []goleak.Option {
	const server = "github.com/nats-io/nats-server/v2/server"
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/seed-384b1f8a/tender/processor/lab/servers.(*process).watch"),
		// A server that stops in the middle of an atomic batch does not close the store of the
		// batch.
		goleak.IgnoreAnyFunction(server + ".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(server + ".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server + "/ats.Register.func1"),
	}
}

// Database creates an empty database on the server of the package and returns its URL, with the
// name and password of the superuser. The end of the test drops the database and cuts off its
// clients.
func Database(t testing.TB) string {
	t.Helper()
	return database(t, (*Postgres).CreateDatabase)
}

// DatabaseWith is Database with the content that fill writes. fill runs once for each name, on an
// empty database at the given URL, and must leave no session open; every caller receives a copy.
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

// original returns the original of that name, filled or not.
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

// filled returns the name of the database once it is filled. Other callers wait, and get the same
// error.
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
	ctx, cancel := context.WithTimeout(t.Context(), startWait)
	defer cancel()
	if err := create(pg, ctx, name); err != nil {
		t.Fatalf("a database for %s: %v", t.Name(), err)
	}
	t.Cleanup(func() {
		// The context of the test has ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), startWait)
		defer cancel()
		if err := pg.DropDatabase(ctx, name); err != nil {
			t.Errorf("after %s: %v", t.Name(), err)
		}
	})
	return pg.URL(name)
}

// databaseName returns a unique name that begins with the name of the test. PostgreSQL cuts names
// at 63 bytes.
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
		return nil, errors.New("TestMain of this package must call servers.Main")
	}
	if !p.tried {
		p.tried = true // further tests would only wait for the same failure
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

// NATS starts a NATS server with JetStream for this test, on a free loopback port and with a
// separate folder. The end of the test stops it.
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

// Connect connects a client for this test, which the end of the test closes.
func (s *NATSServer) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn := Connect(t, s.URL(), opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, conn)
	return conn
}

// Connect connects a client of this test to one or more addresses, separated by commas. The end of
// the test closes it. One attempt of the library gives up after two seconds, which a busy machine
// may need, so Connect repeats it.
func Connect(t testing.TB, urls string, opts ...nats.Option) (conn *nats.Conn) {
	t.Helper()
	Eventually(t, "a connection to "+urls, func() bool {
		var err error
		conn, err = nats.Connect(urls, opts...)
		var timeout net.Error
		switch {
		case err == nil:
			t.Cleanup(conn.Close)
			return true
		case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
			return false
		default:
			t.Fatalf("connect to %s: %v", urls, err)
			return false
		}
	})
	return conn
}

// NATSCluster starts a cluster for this test, with the test binary as its program: TestMain calls
// [RunNATSNode] when the arguments are argument and the path of a configuration file. The end of
// the test stops the cluster.
func NATSCluster(t testing.TB, argument string, o ClusterOptions) *Cluster {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Program = []string{self, argument}
	ctx, cancel := context.WithTimeout(t.Context(), startWait)
	defer cancel()
	c, err := StartCluster(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("after %s: %v", t.Name(), err)
		}
	})
	return c
}

// JetStream returns JetStream for the requests of the test itself. It repeats a request without an
// answer, for as long as Eventually waits. The code under test keeps the times of production.
func JetStream(t testing.TB, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := bus.JetStream(conn, eventuallyWait)
	if err != nil {
		t.Fatalf("JetStream for %s: %v", t.Name(), err)
	}
	return js
}

// Restart takes the server down and up again on the same port and folder, as an upgrade would. The
// server recovers its streams from disk. Restart returns when the clients that Connect made have
// reconnected: until a client notices that its connection is gone, it reports to be connected and
// loses requests.
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

// Eventually waits until cond holds. It fails the test, and names what it waited for, after two
// minutes or shortly before the deadline of the test run. cond runs on the goroutine of the test
// and may use t. A request inside cond needs a limit of its own, a few seconds: a lost request is
// repeated only after it has ended.
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
