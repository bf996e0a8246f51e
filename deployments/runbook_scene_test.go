package deployments_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// incident is one thing that goes wrong: how it comes about, and how one sees that it is over.
type incident struct {
	// cluster is the number of nodes of the bus; 0 is one server without a cluster.
	cluster int
	// gateways is the part of that name of a configuration file, in which $URL is the simulator's
	// address; empty is the default.
	gateways string
	// settings are environment variables of Tender's processes and commands, over those of every
	// scene.
	settings []string
	// streams size the streams.
	streams bus.StreamOptions
	make    func(s *scene)
	// hands are what the runbook tells the reader to do without a recipe.
	hands map[string]func(s *scene)
	// over checks what wantOver does not.
	over func(s *scene)
	// broken says that the incident ends with evidence, not with books that are in order.
	broken bool
}

// scene is Tender's surroundings for one incident: a bus, a database and a gateway of its own.
type scene struct {
	t         *testing.T
	made      incident
	programs  programs
	home      string
	bus       *servers.NATSServer
	cluster   *servers.Cluster
	js        jetstream.JetStream
	client    *client.Client
	database  string
	pool      *pgxpool.Pool
	store     *store.Store
	simulator *simulator.Simulator
	gateway   *gatewayDoor
	// sent are the commands that producers published.
	sent []messages.Command
	// vars are what the recipes find in their environment.
	vars      map[string]string
	processes []*process
}

const (
	sceneTenant = "acme"
	// ackWait is short, so that what a dead worker held is soon taken up.
	ackWait = 6 * time.Second
	// askLimit bounds one request to the bus, which may be down.
	askLimit = 5 * time.Second
	// provisionLimit bounds one attempt to provision, with room for two lost requests.
	provisionLimit = 15 * time.Second
)

func newScene(t *testing.T, p programs, made incident) *scene {
	t.Helper()
	s := &scene{t: t, made: made, programs: p, home: t.TempDir(), database: storetest.Database(t), vars: map[string]string{"TENANT": sceneTenant}}
	s.startBus()
	s.openDatabase()
	s.openBus()
	s.provision()
	s.openGateway()
	s.configure()
	t.Cleanup(s.killAll)
	made.make(s)
	return s
}

func (s *scene) openDatabase() {
	s.t.Helper()
	pool, err := pgxpool.New(s.t.Context(), s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	s.pool, s.store = pool, store.New(pool, store.Config{}, zap.NewNop())
	s.t.Cleanup(func() { s.store.Close(); s.pool.Close() })
}

func (s *scene) startBus() {
	s.t.Helper()
	if s.made.cluster == 0 {
		s.bus = servers.NATS(s.t, func(o *servers.NATSOptions) { o.Dir = s.busFolder() })
		return
	}
	s.cluster = servers.NATSCluster(s.t, nodeArgument, servers.ClusterOptions{
		Dir: s.busFolder(), Nodes: s.made.cluster, MaxStore: 256 << 20,
	})
}

func (s *scene) busFolder() string { return filepath.Join(s.home, "nats") }

func (s *scene) busURL() string {
	if s.cluster != nil {
		return strings.Join(s.cluster.URLs(), ",")
	}
	return s.bus.URL()
}

func (s *scene) openBus() {
	s.t.Helper()
	nc := servers.Connect(s.t, s.busURL(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	s.js = streams(s.t, nc)
	client, err := client.New(nc, client.Config{Tenant: sceneTenant})
	if err != nil {
		s.t.Fatal(err)
	}
	s.client = client
}

func (s *scene) provision() {
	s.t.Helper()
	o := s.made.streams
	o.AckWait = ackWait
	// The cluster refuses replicas on a node that it takes for offline, and loses a request while
	// it elects a leader.
	servers.Eventually(s.t, "the bus to be provisioned", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), provisionLimit)
		defer cancel()
		_, err := bus.Provision(ctx, s.js, o, bus.ProvisionOptions{})
		if err == nil {
			_, err = routing.EnsureBucket(ctx, s.js, routing.BucketOptions{Replicas: s.made.streams.Replicas})
		}
		if err != nil {
			s.t.Logf("provision: %v", err)
		}
		return err == nil
	})
}

// configure writes a configuration file, for what variables can't say.
func (s *scene) configure() {
	s.t.Helper()
	text := strings.ReplaceAll(s.made.gateways, "$URL", "http://"+s.gateway.address)
	if err := os.WriteFile(s.configFile(), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) configFile() string { return filepath.Join(s.home, "tender.yaml") }

// gatewayDoor is an address at which the simulator listens, or no server does.
type gatewayDoor struct {
	address string
	handler http.Handler
	server  *http.Server
	mute    atomic.Bool
}

func (s *scene) openGateway() {
	s.t.Helper()
	served, err := simulator.New(simulator.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.simulator, s.gateway = served, &gatewayDoor{address: "127.0.0.1:0", handler: served.Handler("")}
	s.gateway.open(s.t)
	s.t.Cleanup(func() {
		if err := served.Close(); err != nil {
			s.t.Error(err)
		}
		s.gateway.shut()
	})
}

func (d *gatewayDoor) open(t *testing.T) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	d.address = listener.Addr().String()
	d.server = &http.Server{Handler: d.answering()}
	server := d.server
	go func() { _ = server.Serve(listener) }() // ends with shut
}

func (d *gatewayDoor) shut() { _ = d.server.Close() }

// pay publishes the create of a payment as a producer does.
func (s *scene) pay(method string) uuid.UUID {
	s.t.Helper()
	return s.send(messages.Command{Body: &messages.Create{
		AmountMinor: 1999, Currency: "USD", PaymentMethod: method, CustomerID: "cus_42", MerchantReference: "order-42",
	}})
}

// refund publishes a refund of part of a payment.
func (s *scene) refund(id uuid.UUID, amountMinor int64) {
	s.t.Helper()
	s.send(messages.Command{PaymentID: id, Body: &messages.Refund{AmountMinor: &amountMinor}})
}

func (s *scene) send(command messages.Command) uuid.UUID {
	s.t.Helper()
	command.IdempotencyKey = "order-" + uuid.NewString()
	ack, err := s.client.Publish(s.t.Context(), command)
	if err != nil {
		s.t.Fatalf("publish a command: %v", err)
	}
	s.sent = append(s.sent, ack.Command)
	return ack.Command.PaymentID
}

// sendAgain is what a producer does that does not know what became of its commands.
func (s *scene) sendAgain() {
	s.t.Helper()
	for _, command := range s.sent {
		if _, err := s.client.Publish(s.t.Context(), command); err != nil {
			s.t.Fatalf("publish a command again: %v", err)
		}
	}
}

// paid publishes payments and waits until they are captured.
func (s *scene) paid(n int) []uuid.UUID {
	s.t.Helper()
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = s.pay("pm_card_visa")
	}
	for _, id := range ids {
		s.await(id, messages.StatusCaptured)
	}
	return ids
}

// await waits for a payment's status.
func (s *scene) await(id uuid.UUID, want messages.Status) {
	s.t.Helper()
	servers.Eventually(s.t, "payment "+id.String()+" to be "+string(want), func() bool {
		p, err := s.store.Get(s.t.Context(), sceneTenant, id)
		return err == nil && p.Status == want
	})
}

// sql does to the database what no recipe does.
func (s *scene) sql(statement string, arguments ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), statement, arguments...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// wantOver waits until nothing is left to do, and checks that every payment is whole and was
// charged once.
func (s *scene) wantOver() {
	s.t.Helper()
	if s.made.over != nil {
		s.made.over(s)
	}
	if s.made.broken {
		return
	}
	s.awaitSettled()
	var report books.Report
	servers.Eventually(s.t, "everything to hold and be published", func() bool {
		var err error
		report, err = books.CheckInvariants(s.t.Context(), s.pool, books.CheckOptions{})
		switch {
		case store.Retryable(err): // a connection that PostgreSQL ended while it was away
			return false
		case err != nil:
			s.t.Fatal(err)
		}
		return report.Clean() && report.OutboxRows == 0
	})
	for _, operation := range s.simulator.Snapshot().Operations {
		if operation.Effects > 1 {
			s.t.Errorf("operation %s took effect %d times", operation.OperationID, operation.Effects)
		}
	}
}

func (s *scene) awaitSettled() {
	s.t.Helper()
	servers.Eventually(s.t, "every command to be settled", func() bool { return s.backlog() == 0 })
}

// backlog is how many commands are not settled, or -1 if that can't be known now.
func (s *scene) backlog() int64 {
	ctx, cancel := context.WithTimeout(s.t.Context(), askLimit)
	defer cancel()
	consumer, err := s.js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		return -1
	}
	info := consumer.CachedInfo()
	return int64(info.NumPending) + int64(info.NumAckPending)
}

// binDir is where psql is, which came with the server and need not be on PATH.
func binDir(t *testing.T) string {
	t.Helper()
	return value(t, connect(t, servers.Database(t)), "SELECT setting FROM pg_config WHERE name = $1", "BINDIR")
}
