package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/lab/chaos"
	"github.com/seed-384b1f8a/tender/processor/lab/rig"
)

// producerConnections is the number of connections over which the producers spread their commands.
const producerConnections = 3

// chaosRun is one seed from the first process to the verdict.
type chaosRun struct {
	*term.Env
	flags    chaosFlags
	faults   []rig.Fault
	given    *rig.Given
	programs rig.Programs
	seed     uint64
	dir      string

	lab        *rig.Rig
	record     *chaos.Record
	workload   *chaos.Workload
	began      time.Time
	report     chaos.Report
	deliveries deliveries
	// connections are those of the producers and of the consumer of the events.
	connections []*nats.Conn
}

// run reports whether there was no finding. Unless there was none, the evidence stays in the
// folder.
func (r *chaosRun) run(ctx context.Context) (clean bool, err error) {
	if err := r.open(ctx); err != nil {
		return false, errors.Join(err, r.close())
	}
	err = r.perform(ctx)
	if err == nil {
		err = r.judge(ctx)
	}
	if err = errors.Join(err, r.close()); err != nil {
		return false, err
	}
	if err := r.show(); err != nil {
		return false, err
	}
	clean = r.report.OK()
	if clean && !r.flags.keep {
		err = r.tidy()
	}
	return clean, err
}

func (r *chaosRun) open(ctx context.Context) error {
	if err := os.RemoveAll(r.dir); err != nil {
		return fmt.Errorf("clear the folder of evidence: %w", err)
	}
	if err := os.MkdirAll(r.dir, 0o711); err != nil { //nolint:gosec // G301: PostgreSQL runs as another user when we are root
		return fmt.Errorf("make the folder of evidence: %w", err)
	}
	r.step("seed %d, evidence in %s", r.seed, r.dir)
	var err error
	r.lab, err = rig.Open(ctx, rig.Options{
		Programs: r.programs, Dir: r.dir, Seed: r.seed, Given: r.given, Small: r.flags.short, CopyAge: r.flags.copyAge,
		Drift: r.drift, Producers: r, Now: r.Now, Step: r.step,
	})
	if err != nil {
		return err
	}
	var impossible []string
	if r.faults, impossible = r.lab.Possible(ctx, r.faults); len(impossible) > 0 {
		r.step("not possible here: %s", strings.Join(impossible, ", "))
		r.report.Impossible = impossible
	}
	return r.openWorkload()
}

func (r *chaosRun) openWorkload() error {
	settings := chaos.WorkloadConfig{Seed: r.seed, Rate: r.flags.rate, Webhooks: r.given == nil, Now: r.Now}
	if r.given != nil { // to tell the payments of the run from all others
		settings.Tenants = []string{fmt.Sprintf("chaos-%d-a", r.seed), fmt.Sprintf("chaos-%d-b", r.seed)}
	}
	head, err := settings.Run()
	if err != nil {
		return err
	}
	path := filepath.Join(r.dir, "record.jsonl")
	if r.record, err = chaos.CreateRecord(path, head); err != nil {
		return err
	}
	var buses []jetstream.JetStream
	for range producerConnections {
		js, err := r.connect()
		if err != nil {
			return err
		}
		buses = append(buses, js)
	}
	r.report.Seed, r.report.Tenants, r.report.Began = r.seed, head.Tenants, head.Began
	r.report.Record, r.report.Command = path, r.command()
	r.workload, err = chaos.NewWorkload(buses, r.record, settings)
	return err
}

// command is the command line that repeats the run.
func (r *chaosRun) command() string {
	text := fmt.Sprintf("tenderlab chaos --seed %d --rate %d --mixed %d", r.seed, r.flags.rate, r.flags.mixed)
	if r.flags.short {
		text += " --short"
	}
	if len(r.flags.only) > 0 {
		text += " --only " + strings.Join(r.flags.only, ",")
	}
	return text
}

// connect opens a connection of a producer.
func (r *chaosRun) connect() (jetstream.JetStream, error) {
	nc, err := nats.Connect(r.lab.ProducersURL(), nats.Name("producer"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		// The library would write to standard error, and these connections are meant to break.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return nil, fmt.Errorf("connect a producer: %w", err)
	}
	r.connections = append(r.connections, nc)
	js, err := bus.JetStream(nc, 0)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return js, nil
}

// perform lets the producers publish and injects the faults, then waits until the backlog has
// drained.
func (r *chaosRun) perform(ctx context.Context) error {
	following, err := r.connect()
	if err != nil {
		return err
	}
	r.began = r.Now()
	follow, stopFollowing := context.WithCancel(ctx)
	defer stopFollowing()
	publish, stopPublishing := context.WithCancel(ctx)
	defer stopPublishing()
	var working sync.WaitGroup
	working.Go(func() {
		if err := chaos.Follow(follow, following, r.record, r.report.Tenants, r.Now); err != nil {
			r.step("following the events: %v", err)
		}
	})
	working.Go(func() { r.deliveries.watch(follow, following) })
	published := make(chan struct{})
	go func() {
		defer close(published)
		r.workload.Run(publish)
	}()
	r.lab.Run(ctx, r.lab.Plan(r.faults, r.flags.mixed), r.began, r.injected)
	stopPublishing()
	<-published
	if err := r.settle(ctx); err != nil {
		return err
	}
	stopFollowing()
	working.Wait()
	return ctx.Err()
}

// injected records a fault that is over.
func (r *chaosRun) injected(i rig.Injection) {
	outcome := "repaired after " + (i.Until - i.At).Round(100*time.Millisecond).String()
	if i.Problem != "" {
		outcome = i.Problem
	}
	name := i.Fault
	if len(i.With) > 0 {
		name += " (with " + strings.Join(i.With, ", ") + ")"
	}
	r.report.Injections = append(r.report.Injections, chaos.Injection{
		At: r.began.Add(i.At), Name: name, Detail: i.Detail, Outcome: outcome, Failed: i.Problem != "",
		BringingAbout: i.Struck - i.At, Lasting: i.Healed - i.Struck, Recovering: i.Until - i.Healed,
	})
	r.step("%7.1fs  %-28s %s; %s", i.At.Seconds(), name, i.Detail, outcome)
}

// settle waits until the backlog has drained.
func (r *chaosRun) settle(ctx context.Context) error {
	r.step("the faults have stopped: waiting for the backlog to drain")
	pool, err := pgxpool.New(ctx, r.lab.PostgresURL())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer pool.Close()
	js, err := r.connect()
	if err != nil {
		return err
	}
	drain, err := chaos.Await(ctx, pool, js, chaos.AwaitConfig{
		Timeout: r.flags.drain, Horizon: rig.Horizon, Progress: r.draining, Now: r.Now,
	})
	r.report.Drain = &drain
	return err
}

// draining prints the work that is still open.
func (r *chaosRun) draining(waited time.Duration, open []string) {
	r.step("%7.1fs  still open: %s", waited.Seconds(), strings.Join(open, "; "))
}

// judge compares the sources.
func (r *chaosRun) judge(ctx context.Context) error {
	if err := r.record.Close(); err != nil {
		return err
	}
	recorded, err := chaos.OpenRecord(r.report.Record)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, r.lab.PostgresURL())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer pool.Close()
	js, err := r.connect()
	if err != nil {
		return err
	}
	r.report.Verdict, err = chaos.Check(ctx, chaos.Sources{
		Pool: pool, JetStream: js, Ledgers: r.lab.Ledgers, Record: recorded, Drain: r.report.Drain, Faults: r.report.Injections,
	}, chaos.CheckConfig{Ladder: rig.Ladder, Progress: func(part string) { r.step("checking %s", part) }})
	r.report.Ended, r.report.Surprises = r.Now().UTC(), r.lab.Surprises()
	// The consumer's own counters start at 0 with each consumer.
	redeliveries := &r.report.Verdict.Figures.Redeliveries
	*redeliveries = max(*redeliveries, r.deliveries.repeated())
	if !r.report.OK() {
		err = errors.Join(err, r.lab.Preserve(ctx))
	}
	return err
}

// PublishAgain implements rig.Producers.
func (r *chaosRun) PublishAgain(ctx context.Context) int { return r.workload.Replay(ctx, 1) }

// drift runs all roles in this process on another clock.
func (r *chaosRun) drift(ctx context.Context, settings string, now func() time.Time) (err error) {
	cfg, err := config.Load(settings, nil)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(r.dir, "drifter.log"))
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	p, err := app.Open(ctx, cfg, app.NewLog(file, cfg.Log), app.Options{Wait: true, Now: now})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

func (r *chaosRun) close() error {
	for _, nc := range r.connections {
		nc.Close()
	}
	if r.lab == nil {
		return nil
	}
	return r.lab.Close()
}

// step prints progress.
func (r *chaosRun) step(format string, args ...any) {
	if !r.Quiet {
		fmt.Fprintf(r.Stderr, format+"\n", args...)
	}
}

// show prints the report and writes it into the folder.
func (r *chaosRun) show() error {
	for name, write := range map[string]func(*os.File) error{
		"report.txt":  func(f *os.File) error { return r.report.Text(f) },
		"report.json": func(f *os.File) error { return r.report.JSON(f) },
	} {
		file, err := os.Create(filepath.Join(r.dir, name))
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		if err := errors.Join(write(file), file.Close()); err != nil {
			return err
		}
	}
	if r.JSON {
		return r.report.JSON(r.Stdout)
	}
	return r.report.Text(r.Stdout)
}

// tidy removes everything of a run but its report.
func (r *chaosRun) tidy() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("tidy up: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "report.") {
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.dir, entry.Name())))
		}
	}
	return err
}

// deliveries counts the deliveries of the workers' consumer over a run that deletes and restores
// streams and consumers.
type deliveries struct {
	// made counts the deliveries, stored the commands.
	made, stored int64
	created      time.Time
	consumer     uint64
	stream       uint64
}

// watch reads the counters until ctx ends. It misses deliveries between its last look at a consumer
// and the consumer's end.
func (d *deliveries) watch(ctx context.Context, js jetstream.JetStream) {
	const every = 500 * time.Millisecond
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		d.look(ctx, js)
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *deliveries) look(ctx context.Context, js jetstream.JetStream) {
	stream, err := js.Stream(ctx, messages.StreamCommands)
	if err != nil {
		return // it may be away for a while
	}
	consumer, err := stream.Consumer(ctx, bus.ConsumerWorkers)
	if err != nil {
		return
	}
	info, last := consumer.CachedInfo(), stream.CachedInfo().State.LastSeq
	if !info.Created.Equal(d.created) {
		d.created, d.consumer = info.Created, 0
	}
	d.made += grown(&d.consumer, info.Delivered.Consumer)
	d.stored += grown(&d.stream, last)
}

// grown returns the growth of a counter. One that is lower than before has started again at 0.
func grown(last *uint64, now uint64) int64 {
	before := *last
	*last = now
	if now < before {
		return 0
	}
	return int64(now - before) //nolint:gosec // G115: a count of messages
}

// repeated counts the deliveries that were not the first of their command.
func (d *deliveries) repeated() int64 { return max(0, d.made-d.stored) }
