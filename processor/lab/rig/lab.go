package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// Producers are those who publish the commands.
type Producers interface {
	// PublishAgain publishes every command again that was acknowledged so far, under its own key and message id, as producers do who do not know
	// what became of them, and returns how many.
	PublishAgain(ctx context.Context) int
}

// Programs are the paths of the programs.
type Programs struct {
	// Tender is the program under test, and Lab the program that runs the servers around it: its commands are nats-node
	// and simulator.
	Tender, Lab string
}

// Options say what lab to open.
type Options struct {
	// Programs are what the lab starts processes of.
	Programs Programs
	// Dir takes the evidence; it exists and is empty.
	Dir string
	// Seed is what the lab's choices follow from.
	Seed uint64
	// Given are servers that somebody has; nil: the lab runs its own.
	Given *Given
	// Small leaves out what a short run does without: the copy of the cluster, the small disk, a worker.
	Small bool
	// CopyAge is how old the copy is that the cluster is restored from.
	CopyAge time.Duration
	// Producers are asked when the bus has lost commands.
	Producers Producers
	// Drift runs a worker and scheduler in this process, on a clock of its own, until ctx ends; nil: there is none.
	Drift func(ctx context.Context, settings string, now func() time.Time) error
	// Now is the clock, Step hears of everything that is ready.
	Now  func() time.Time
	Step func(format string, args ...any)
}

const (
	database    = "tender"
	servingRole = "tender_serve"
	nodes       = 3
	// startTimeout bounds the start of the lab.
	startTimeout = 90 * time.Second
)

// Lab is a running system. Its methods may be called from several goroutines.
type Lab struct {
	options Options
	dir     string
	random  *dice
	now     func() time.Time
	environ []string

	cluster    *servers.Cluster
	routes     []route
	postgres   *servers.Postgres
	retired    []*servers.Postgres // failed over from
	servingURL string
	simulators []*simulator
	members    []*Member
	// producers are the ways of those who publish.
	producers   *links
	drifter     *drifter
	webhookAddr string
	nc          *nats.Conn
	js          jetstream.JetStream
	// copied is when the copy of the cluster was made; window is how long the stream of commands remembers message ids.
	copied    time.Time
	window    time.Duration
	smallDisk bool

	mu        sync.Mutex
	surprises []string
	ended     bool
}

// route is the proxy on the way of one node to another.
type route struct {
	from, to int
	proxy    *faulty.Proxy
}

// Open starts everything. Close ends it.
func Open(ctx context.Context, o Options) (opened *Lab, err error) {
	l := &Lab{
		options: o, dir: o.Dir, random: newDice(o.Seed), now: o.Now,
		environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	start := []func(context.Context) error{l.startCluster, l.startPostgres, l.startGateways, l.prepare, l.startMembers}
	if o.Given != nil {
		start = []func(context.Context) error{l.useGiven, l.startMembers}
	}
	for _, start := range start {
		if err := start(ctx); err != nil {
			return nil, errors.Join(err, l.surprised())
		}
	}
	return l, nil
}

func (l *Lab) startCluster(ctx context.Context) error {
	var err error
	l.cluster, err = servers.StartCluster(ctx, servers.ClusterOptions{
		Program: []string{l.options.Programs.Lab, "nats-node"}, Dir: filepath.Join(l.dir, "nats"), Nodes: nodes, Route: l.route,
	})
	if err != nil {
		return err
	}
	l.options.Step("%d NATS servers at %s", nodes, l.NATSURL())
	return l.connect()
}

// connect opens the lab's own connection, without a proxy.
func (l *Lab) connect() error {
	var err error
	if l.nc, err = nats.Connect(l.NATSURL(), nats.Name("lab"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if l.js, err = bus.JetStream(l.nc, 0); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	return nil
}

// route puts a proxy on the way of one node to another.
func (l *Lab) route(from, to int, address string) (string, error) {
	proxy, err := faulty.Listen(context.Background(), address)
	if err != nil {
		return "", fmt.Errorf("stand between node %d and node %d: %w", from+1, to+1, err)
	}
	l.routes = append(l.routes, route{from, to, proxy})
	return proxy.Addr(), nil
}

func (l *Lab) routeProxies() []route { return l.routes }

// startPostgres starts the server, on a small disk if that can be had.
func (l *Lab) startPostgres(ctx context.Context) error {
	o := servers.PostgresOptions{Durable: true, DiskMB: diskMB, Settings: map[string]string{
		"max_wal_size": "192MB", "min_wal_size": "32MB", "deadlock_timeout": "200ms", "log_min_messages": "warning",
	}}
	if l.options.Small {
		o.DiskMB = 0
	}
	var err error
	l.postgres, err = servers.StartPostgres(ctx, o)
	l.smallDisk = err == nil && o.DiskMB > 0
	if errors.Is(err, servers.ErrNoSmallDisk) {
		o.DiskMB = 0
		l.postgres, err = servers.StartPostgres(ctx, o)
	}
	if err != nil {
		return err
	}
	l.options.Step("PostgreSQL at %s", l.postgresAddr())
	return l.postgres.CreateDatabase(ctx, database)
}

const diskMB = 1536

func (l *Lab) startGateways(ctx context.Context) error {
	var err error
	if l.webhookAddr, err = freeAddr(ctx); err != nil {
		return err
	}
	for _, name := range ownGateways() {
		address, err := freeAddr(ctx)
		if err != nil {
			return err
		}
		s := &simulator{name: name, address: address, lab: l}
		l.simulators = append(l.simulators, s)
		if err := s.start(ctx); err != nil {
			return err
		}
		l.options.Step("the gateway %s at http://%s", name, address)
	}
	return nil
}

// prepare makes the streams, the schema and the role that serves.
func (l *Lab) prepare(ctx context.Context) error {
	password := uuid.NewString()
	if err := l.postgres.CreateRole(ctx, servingRole, password); err != nil {
		return err
	}
	serving, err := url.Parse(l.postgres.URL(database))
	if err != nil {
		return fmt.Errorf("read the address of PostgreSQL: %w", err)
	}
	serving.User = url.UserPassword(servingRole, password)
	l.servingURL, l.window = serving.String(), Duplicates
	// A cluster that has just started may still take a node for being away.
	if err := errors.Join(l.tender(ctx, "migrate", "--grant-to", servingRole), l.provision(ctx)); err != nil {
		return err
	}
	if !l.options.Small {
		if err := l.cluster.Snapshot(ctx, l.copyDir()); err != nil {
			return fmt.Errorf("copy the cluster: %w", err)
		}
		l.copied = l.now()
	}
	return nil
}

func (l *Lab) copyDir() string { return filepath.Join(l.dir, "nats-copy") }

// tender runs a command of the program as an operator would, with the owner's rights, to its end.
func (l *Lab) tender(ctx context.Context, args ...string) error {
	//nolint:gosec // G204: the program under test
	cmd := exec.CommandContext(ctx, l.options.Programs.Tender, args...)
	cmd.Env = append(slices.Clone(l.environ), "TENDER_NATS_URL="+l.NATSURL(), "TENDER_POSTGRES_URL="+l.PostgresURL(),
		fmt.Sprint("TENDER_STREAMS_REPLICAS=", nodes), "TENDER_STREAMS_DUPLICATES="+Duplicates.String(),
		"TENDER_WORKER_ACK_WAIT="+AckWait.String(), fmt.Sprint("TENDER_WORKER_DELIVERIES_MAX=", deliveriesMax))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("tender %v: %w: %s", args, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// NATSURL are the addresses of NATS, without proxies.
func (l *Lab) NATSURL() string {
	if l.options.Given != nil {
		return l.options.Given.NATSURL
	}
	return join(l.cluster.URLs())
}

// PostgresURL is the address of the database, without a proxy: as its owner, or as who serves if the server was given.
func (l *Lab) PostgresURL() string {
	if l.options.Given != nil {
		return l.options.Given.PostgresURL
	}
	return l.postgres.URL(database)
}

// ProducersURL are the addresses by which producers reach the cluster.
func (l *Lab) ProducersURL() string { return join(l.producers.natsURLs(l.NATSURL())) }

// surprise notes what nobody brought about.
func (l *Lab) surprise(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.surprises = append(l.surprises, what)
	}
}

// Surprises are what happened that no fault brought about: a process that ended by itself, for one.
func (l *Lab) Surprises() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.surprises)
}

// surprised is the first surprise as an error, nil if there was none.
func (l *Lab) surprised() error {
	if all := l.Surprises(); len(all) > 0 {
		return errors.New(all[0])
	}
	return nil
}

func (l *Lab) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// dice are random choices that may be made by several goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice {
	return &dice{r: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // G404: choices that a seed repeats
}

func (d *dice) IntN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) Perm(n int) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Perm(n)
}

func (d *dice) Shuffle(n int, swap func(i, j int)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.r.Shuffle(n, swap)
}
