package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// Producers publish the commands.
type Producers interface {
	// PublishAgain publishes every acknowledged command again, under its own key and message id,
	// as a producer does that does not know the outcome. It returns the number of commands.
	PublishAgain(ctx context.Context) int
}

// Programs are the paths of the programs.
type Programs struct {
	// Tender is the program under test, and Lab the program that runs the servers around it: its
	// commands are nats-node and simulator.
	Tender, Lab string
}

// Options configure a rig.
type Options struct {
	// Programs are the programs that the rig starts processes of.
	Programs Programs
	// Dir takes the evidence; it exists and is empty.
	Dir string
	// Seed determines the random choices of the rig.
	Seed uint64
	// Given are existing servers to use; nil: the rig runs its own.
	Given *Given
	// Small leaves out the copy of the cluster, the small disk and one worker, for a short run.
	Small bool
	// CopyAge is the minimum age of the copy from which the cluster is restored.
	CopyAge time.Duration
	// Producers publish again after the bus has lost commands.
	Producers Producers
	// Drift runs a worker and a scheduler in this process, on a separate clock, until ctx ends;
	// nil: none.
	Drift func(ctx context.Context, settings string, now func() time.Time) error
	// Now is the clock. Step receives a line for each part that is ready.
	Now  func() time.Time
	Step func(format string, args ...any)
}

// Rig is a running system. Its methods may be called from several goroutines.
type Rig struct {
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
	// producers are the links of the producers.
	producers   *links
	drifter     *drifter
	webhookAddr string
	// postman carries notifications to webhookAddr; nil for servers that were given.
	postman *postman
	nc      *nats.Conn
	js      jetstream.JetStream
	// copied is the time at which the cluster was copied. window is the time for which the stream
	// of commands remembers message ids.
	copied    time.Time
	window    time.Duration
	smallDisk bool

	mu        sync.Mutex
	surprises []string
	ended     bool
}

// route is the proxy between one node and another.
type route struct {
	from, to int
	proxy    *faulty.Proxy
}

// Open starts all processes. Close ends them.
func Open(ctx context.Context, o Options) (opened *Rig, err error) {
	r := &Rig{
		options: o, dir: o.Dir, random: newDice(o.Seed), now: o.Now,
		environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	start := []func(context.Context) error{r.startCluster, r.startPostgres, r.startGateways, r.prepare, r.startMembers}
	if o.Given != nil {
		start = []func(context.Context) error{r.useGiven, r.startMembers}
	}
	for _, start := range start {
		if err := start(ctx); err != nil {
			return nil, errors.Join(err, r.surprised())
		}
	}
	return r, nil
}

// Close ends every process and removes all files that are no evidence.
func (r *Rig) Close() error {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	errs := []error{r.drifter.leave()}
	for _, m := range r.members {
		errs = append(errs, m.Leave())
	}
	for _, s := range r.simulators {
		errs = append(errs, s.kill())
	}
	errs = append(errs, r.postman.close())
	if r.nc != nil {
		r.nc.Close()
	}
	for _, server := range append(r.retired, r.postgres) {
		if server != nil {
			errs = append(errs, server.Stop())
		}
	}
	if r.cluster != nil {
		errs = append(errs, r.cluster.Stop())
	}
	for _, m := range r.members {
		errs = append(errs, m.links.close())
	}
	if r.producers != nil {
		errs = append(errs, r.producers.close())
	}
	for _, way := range r.routes {
		errs = append(errs, way.proxy.Close())
	}
	return errors.Join(errs...)
}

func (r *Rig) startCluster(ctx context.Context) error {
	var err error
	r.cluster, err = servers.StartCluster(ctx, servers.ClusterOptions{
		Program: []string{r.options.Programs.Lab, "nats-node"}, Dir: filepath.Join(r.dir, "nats"), Nodes: nodes, Route: r.route,
	})
	if err != nil {
		return err
	}
	r.options.Step("%d NATS servers at %s", nodes, r.NATSURL())
	return r.connect()
}

// connect opens the connection of the rig itself, without a proxy.
func (r *Rig) connect() error {
	var err error
	if r.nc, err = nats.Connect(r.NATSURL(), nats.Name("rig"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if r.js, err = bus.JetStream(r.nc, 0); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	return nil
}

// route puts a proxy between one node and another.
func (r *Rig) route(from, to int, address string) (string, error) {
	proxy, err := faulty.Listen(context.Background(), address)
	if err != nil {
		return "", fmt.Errorf("open a proxy between node %d and node %d: %w", from+1, to+1, err)
	}
	r.routes = append(r.routes, route{from, to, proxy})
	return proxy.Addr(), nil
}

// startPostgres starts the server, on a small disk where the machine allows one.
func (r *Rig) startPostgres(ctx context.Context) error {
	o := servers.PostgresOptions{Durable: true, DiskMB: diskMB, Settings: map[string]string{
		"max_wal_size": "192MB", "min_wal_size": "32MB", "deadlock_timeout": "200ms", "log_min_messages": "warning",
	}}
	if r.options.Small {
		o.DiskMB = 0
	}
	var err error
	r.postgres, err = servers.StartPostgres(ctx, o)
	r.smallDisk = err == nil && o.DiskMB > 0
	if errors.Is(err, servers.ErrNoSmallDisk) {
		o.DiskMB = 0
		r.postgres, err = servers.StartPostgres(ctx, o)
	}
	if err != nil {
		return err
	}
	r.options.Step("PostgreSQL at %s", r.postgresAddr())
	return r.postgres.CreateDatabase(ctx, database)
}

const (
	database    = "tender"
	servingRole = "tender_serve"
	nodes       = 3
	// startTimeout bounds the start of the rig.
	startTimeout = 90 * time.Second
)

const diskMB = 1536

func (r *Rig) startGateways(ctx context.Context) error {
	var err error
	if r.webhookAddr, err = freeAddr(ctx); err != nil {
		return err
	}
	if r.postman, err = startPostman(ctx, func() string { return r.webhookAddr }); err != nil {
		return fmt.Errorf("start the carrier of notifications: %w", err)
	}
	for _, name := range ownGateways() {
		address, err := freeAddr(ctx)
		if err != nil {
			return err
		}
		s := &simulator{name: name, address: address, rig: r}
		r.simulators = append(r.simulators, s)
		if err := s.start(ctx); err != nil {
			return err
		}
		r.options.Step("the gateway %s at http://%s", name, address)
	}
	return nil
}

// ownGateways lists the names of the simulators that the rig runs.
func ownGateways() []string { return []string{"primary", "second"} }

// prepare creates the streams, the schema and the role of the serving processes.
func (r *Rig) prepare(ctx context.Context) error {
	password := uuid.NewString()
	if err := r.postgres.CreateRole(ctx, servingRole, password); err != nil {
		return err
	}
	serving, err := url.Parse(r.postgres.URL(database))
	if err != nil {
		return fmt.Errorf("read the address of PostgreSQL: %w", err)
	}
	serving.User = url.UserPassword(servingRole, password)
	r.servingURL, r.window = serving.String(), Duplicates
	// A cluster that has just started may still take a node for absent: provision repeats.
	if err := errors.Join(r.tender(ctx, "migrate", "--grant-to", servingRole), r.provision(ctx)); err != nil {
		return err
	}
	if !r.options.Small {
		if err := r.cluster.Snapshot(ctx, r.copyDir()); err != nil {
			return fmt.Errorf("copy the cluster: %w", err)
		}
		r.copied = r.now()
	}
	return nil
}

func (r *Rig) copyDir() string { return filepath.Join(r.dir, "nats-copy") }

// useGiven connects to the servers that were given. Streams and schema must exist; otherwise the
// processes report it.
func (r *Rig) useGiven(ctx context.Context) error {
	if err := r.connect(); err != nil {
		return err
	}
	stream, err := r.js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return fmt.Errorf("open %s (has `tender provision` been run?): %w", messages.StreamCommands, err)
	}
	r.window, r.servingURL = stream.CachedInfo().Config.Duplicates, r.options.Given.PostgresURL
	if _, err := r.Ledgers(ctx); err != nil {
		return fmt.Errorf("only simulators may be used, whose ledgers can be read: %w", err)
	}
	if r.webhookAddr, err = freeAddr(ctx); err != nil {
		return err
	}
	r.options.Step("the NATS, PostgreSQL and simulators that were given")
	return nil
}

func (r *Rig) startMembers(ctx context.Context) error {
	var err error
	if r.producers, err = r.link(ctx); err != nil {
		return err
	}
	for _, m := range r.crew() {
		m.rig, m.slotsMax, m.connsMax = r, 64, 8
		if m.links, err = r.link(ctx); err != nil {
			return err
		}
		r.members = append(r.members, m)
	}
	if err := r.startAll(ctx); err != nil {
		return err
	}
	r.options.Step("%d processes of tender serve", len(r.members))
	return nil
}

// crew lists the serving processes: several of each kind, as in production.
func (r *Rig) crew() []*Member {
	worker, keeper := []string{roleWorker}, []string{roleRelay, roleScheduler}
	crew := []*Member{
		{Name: "worker-1", roles: worker},
		{Name: "worker-2", roles: worker},
		{Name: "worker-3", roles: worker},
		{Name: "relay-1", roles: keeper},
		{Name: "relay-2", roles: keeper},
		{Name: "webhook", roles: []string{roleWebhook}},
	}
	if r.options.Small {
		crew = slices.Delete(crew, 2, 3)
	}
	return crew
}

func (r *Rig) startAll(ctx context.Context) error {
	for _, m := range r.members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	for _, m := range r.members {
		if err := m.awaitReady(ctx); err != nil {
			return err
		}
	}
	return startDrifter(ctx, r)
}

// leaveAll lets every process leave, and the drifter.
func (r *Rig) leaveAll() error {
	errs := []error{r.drifter.leave()}
	r.drifter = nil
	for _, m := range r.members {
		errs = append(errs, m.Leave())
	}
	return errors.Join(errs...)
}

// playing lists the members with a role.
func (r *Rig) playing(role string) []*Member {
	var playing []*Member
	for _, m := range r.members {
		if m.plays(role) {
			playing = append(playing, m)
		}
	}
	return playing
}

func (r *Rig) anyWorker() *Member {
	workers := r.playing(roleWorker)
	return workers[r.random.IntN(len(workers))]
}

func (r *Rig) anyGateway() string {
	names := r.gatewayNames()
	return names[r.random.IntN(len(names))]
}

// moveTo points every proxy at another PostgreSQL server.
func (r *Rig) moveTo(successor *servers.Postgres) {
	r.retired = append(r.retired, r.postgres)
	r.postgres, r.smallDisk = successor, false
	for _, w := range r.ways() {
		w.postgres.SetTarget(r.postgresAddr())
		w.postgres.Cut()
	}
}

func (r *Rig) provision(ctx context.Context) error {
	return persist(ctx, "provision", persistPause, func(ctx context.Context) error { return r.tender(ctx, "provision") })
}

// tender runs one command of the program as an operator would, with the rights of the owner, to
// its end.
func (r *Rig) tender(ctx context.Context, args ...string) error {
	//nolint:gosec // G204: the program under test
	cmd := exec.CommandContext(ctx, r.options.Programs.Tender, args...)
	cmd.Env = append(slices.Clone(r.environ), "TENDER_NATS_URL="+r.NATSURL(), "TENDER_POSTGRES_URL="+r.PostgresURL(),
		fmt.Sprint("TENDER_STREAMS_REPLICAS=", nodes), "TENDER_STREAMS_DUPLICATES="+Duplicates.String(),
		"TENDER_WORKER_ACK_WAIT="+AckWait.String(), fmt.Sprint("TENDER_WORKER_DELIVERIES_MAX=", deliveriesMax))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("tender %v: %w: %s", args, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// surprise records an incident that no fault brought about.
func (r *Rig) surprise(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.surprises = append(r.surprises, what)
	}
}

// Surprises lists the incidents that no fault brought about, such as a process that ended by
// itself.
func (r *Rig) Surprises() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.surprises)
}

// surprised returns the first surprise as an error, or nil.
func (r *Rig) surprised() error {
	if all := r.Surprises(); len(all) > 0 {
		return errors.New(all[0])
	}
	return nil
}

func (r *Rig) closed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// Preserve adds a dump of the database and the logs of its servers to the evidence, before Close
// removes them. It leaves servers that were given alone.
func (r *Rig) Preserve(ctx context.Context) error {
	if r.postgres == nil {
		return nil
	}
	errs := []error{r.postgres.Dump(ctx, database, filepath.Join(r.dir, "evidence.dump"))}
	for i, server := range append(r.retired, r.postgres) {
		text, err := os.ReadFile(server.Log())
		if err == nil {
			err = os.WriteFile(filepath.Join(r.dir, "postgres-"+strconv.Itoa(i+1)+".log"), text, 0o600) //nolint:gosec // G703: a file in the folder of evidence
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("preserve the evidence: %w", err)
	}
	return nil
}
