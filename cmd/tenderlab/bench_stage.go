package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/bench"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// benchGateway is the name, in the configuration, of the gateway inside the process.
const benchGateway = "simulator"

// benchStage holds the servers of one measurement, new and empty: a database, and streams on a bus.
type benchStage struct {
	bench    *benchmark
	dir      string
	database string
	cfg      config.Config
	nc       *nats.Conn
	js       jetstream.JetStream
	pool     *pgxpool.Pool
	facts    store.ServerFacts
	// ledgers are the files to which the processes write their gateway's ledger at their end.
	ledgers []string
	// node is the stage's own NATS server, nil if --nats names one.
	node    *servers.Process
	nodePID int
}

// openStage makes a stage. syncAlways applies to the stage's own NATS server.
func (b *benchmark) openStage(ctx context.Context, syncAlways bool) (opened *benchStage, err error) {
	b.stages++
	s := &benchStage{bench: b, cfg: b.cfg, database: fmt.Sprintf("tender_bench_%d_%d", os.Getpid(), b.stages)}
	s.dir = filepath.Join(b.dir, strconv.Itoa(b.stages))
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	if err := s.openDatabase(ctx); err != nil {
		return nil, err
	}
	if err := s.openBus(ctx, syncAlways); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *benchStage) openDatabase(ctx context.Context) error {
	err := s.bench.administer(ctx, "CREATE DATABASE "+pgx.Identifier{s.database}.Sanitize()+" TEMPLATE template0")
	if err != nil {
		return err
	}
	address, err := url.Parse(s.bench.postgresURL)
	if err != nil {
		return fmt.Errorf("read the address of PostgreSQL: %w", err)
	}
	address.Path = "/" + s.database
	s.cfg.Postgres.URL = config.URL(address.String())
	if s.pool, err = app.DialPool(ctx, s.cfg.Postgres, "tenderlab bench"); err != nil {
		return err
	}
	if _, err := store.Migrate(ctx, s.pool, nil); err != nil {
		return err
	}
	if s.facts, err = store.ReadServerFacts(ctx, s.pool); err == nil && s.bench.postgres != nil {
		s.bench.postmaster = bench.ParentOf(s.facts.Backend)
	}
	return err
}

// administer runs one statement on the server's own database.
func (b *benchmark) administer(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, b.postgresURL)
	if err != nil {
		return &term.UnavailableError{Service: term.ServicePostgres, Address: config.URL(b.postgresURL).String(), Err: err}
	}
	_, err = conn.Exec(ctx, statement)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (s *benchStage) openBus(ctx context.Context, syncAlways bool) error {
	if s.bench.natsURL != "" {
		s.cfg.NATS.URL = config.URL(s.bench.natsURL)
	} else if err := s.startNATS(ctx, syncAlways); err != nil {
		return err
	}
	var err error
	if s.nc, err = s.awaitNATS(ctx); err != nil {
		return err
	}
	if s.js, err = bus.JetStream(s.nc, 0); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	if s.node == nil {
		if err := s.refuseUsedBus(ctx); err != nil {
			return err
		}
	}
	cfg := s.cfg
	cfg.Worker.SlotsMax = benchSlotsMax // so that the consumer limits no run
	if _, err := app.Provision(ctx, s.js, cfg, false); err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return nil
}

// refuseUsedBus refuses a bus that has streams: the benchmark deletes them at its end.
func (s *benchStage) refuseUsedBus(ctx context.Context) error {
	for _, name := range benchStreams() {
		_, err := s.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for stream %s: %w", name, err)
		}
		s.nc.Close()
		s.js = nil
		return term.UsageError("there is a stream %s on %s: tenderlab bench makes and deletes its streams, so it needs a server that has none",
			name, s.cfg.NATS.URL)
	}
	return nil
}

func benchStreams() []string {
	return []string{
		messages.StreamCommands, messages.StreamEvents, messages.StreamDeadLetters, bus.StreamAdvisories, messages.StreamAudit,
	}
}

// startNATS runs a server as a separate process, as in production.
func (s *benchStage) startNATS(ctx context.Context, syncAlways bool) error {
	listener, err := listenLocally(ctx, 0)
	if err != nil {
		return fmt.Errorf("find a port: %w", err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return fmt.Errorf("find a port: %w", err)
	}
	stores := map[string]any{"store_dir": filepath.Join(s.dir, "nats")}
	if syncAlways {
		stores["sync_interval"] = "always"
	}
	text, err := json.Marshal(map[string]any{"server_name": "bench", "listen": address, "jetstream": stores})
	if err != nil {
		return fmt.Errorf("configure NATS: %w", err)
	}
	path := filepath.Join(s.dir, "nats.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("configure NATS: %w", err)
	}
	log, err := os.Create(filepath.Join(s.dir, "nats.log"))
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	cmd := exec.Command(s.bench.program, "nats-node", path) //nolint:gosec,noctx // G204: this program itself, which close ends
	cmd.Stdout, cmd.Stderr = log, log
	s.node, err = servers.Launch(cmd)
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	s.nodePID = cmd.Process.Pid
	s.cfg.NATS.URL = config.URL("nats://" + address)
	return nil
}

// awaitNATS connects, and waits for the stage's own server to start.
func (s *benchStage) awaitNATS(ctx context.Context) (*nats.Conn, error) {
	if s.node == nil {
		return app.DialNATS(s.cfg.NATS)
	}
	ctx, cancel := context.WithTimeout(ctx, sandboxStartTimeout)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		nc, err := app.DialNATS(s.cfg.NATS)
		if err == nil {
			return nc, nil
		}
		select {
		case <-again.C:
		case <-s.node.Done():
			text, _ := os.ReadFile(filepath.Join(s.dir, "nats.log")) // only for the error
			return nil, fmt.Errorf("NATS does not start: %w: %s", s.node.Err(), text)
		case <-ctx.Done():
			return nil, err
		}
	}
}

// environ is the environment of the workers: that of this process, with the settings of the run.
func (s *benchStage) environ(slotsMax, number int) []string {
	environ := s.bench.Environ
	for key, value := range map[string]string{
		"nats.url": s.cfg.NATS.URL.Reveal(), "postgres.url": s.cfg.Postgres.URL.Reveal(), "nats.name": fmt.Sprint("bench ", number+1),
		"worker.slots_max": strconv.Itoa(slotsMax), "log.level": string(config.LogWarn), "log.format": string(config.LogConsole),
		"allow_simulator": "true", "gateways." + benchGateway + ".kind": string(config.GatewaySim), "gateways." + benchGateway + ".concurrency_max": strconv.Itoa(slotsMax),
		"retry.unknown_replays": "300ms,1s,3s",
	} {
		environ = term.Override(environ, config.EnvName(key), value)
	}
	return environ
}

// close removes the stage.
func (s *benchStage) close(ctx context.Context) error {
	// An interrupted run is removed as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandboxStartTimeout)
	defer cancel()
	var errs []error
	if s.js != nil && s.node == nil {
		for _, name := range benchStreams() {
			if err := s.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				errs = append(errs, fmt.Errorf("delete stream %s: %w", name, err))
			}
		}
	}
	if s.nc != nil {
		s.nc.Close()
	}
	if s.node != nil {
		errs = append(errs, s.node.Signal(syscall.SIGKILL)) // its store is removed below
		<-s.node.Done()
	}
	if s.pool != nil {
		s.pool.Close()
		errs = append(errs, s.bench.administer(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{s.database}.Sanitize()+" WITH (FORCE)"))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
