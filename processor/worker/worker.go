package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/delivery"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// Config tunes a Worker. The zero value of a field means its default.
type Config struct {
	// SlotsMax is the number of commands in progress at once; default 2048.
	SlotsMax int
	// AckWait is the consumer's; the worker sends a sign of life three times as often. Default 30
	// s.
	AckWait time.Duration
	// DeliveriesMax is the number of times that workers begin a command before it becomes a dead
	// letter; default 8.
	DeliveriesMax int
	// Patience is the time that an early command waits for its payment, or for an operation in
	// progress, before it is refused. Zero refuses at once.
	Patience time.Duration
	// HandleTimeout bounds the work on one delivery, time spent waiting for PostgreSQL aside;
	// default 1 min.
	HandleTimeout time.Duration
	// DrainTimeout bounds how long Run finishes commands in progress once it is told to stop;
	// default 25 s.
	DrainTimeout time.Duration
	// Policy holds the times of retries and expiries; its zero value means payment.DefaultPolicy.
	Policy payment.Policy
}

func (c Config) withDefaults() Config {
	c.SlotsMax = cmp.Or(c.SlotsMax, 2048)
	c.AckWait = cmp.Or(c.AckWait, 30*time.Second)
	c.DeliveriesMax = cmp.Or(c.DeliveriesMax, 8)
	c.HandleTimeout = cmp.Or(c.HandleTimeout, time.Minute)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 25*time.Second)
	if c.Policy.SentStale == 0 {
		c.Policy = payment.DefaultPolicy()
	}
	return c
}

// Router chooses the gateway for a new authorization: a *routing.Live, or the one set of a
// *routing.Rules. The same facts under the same rules lead to the same choice; the zero Route is
// none. It is called concurrently.
type Router interface {
	Route(f routing.Facts) payment.Route
}

// Parts are what a Worker works with. All are required; their owner closes them after Run has
// returned.
type Parts struct {
	JetStream jetstream.JetStream
	Store     *store.Store
	Gateways  *gateway.Set
	Router    Router
	Log       *zap.Logger
	// Clock is the database's clock, by which money is decided on: a *store.Clock.
	Clock Clock
	// Now is the process's clock, for waits and latencies.
	Now func() time.Time
}

// Clock tells the time. Its errors are those of the database.
type Clock interface {
	Now(ctx context.Context) (time.Time, error)
}

func (p Parts) validate() error {
	var missing []string
	for _, part := range []struct {
		name  string
		there bool
	}{
		{"JetStream", p.JetStream != nil},
		{"Store", p.Store != nil},
		{"Gateways", p.Gateways != nil},
		{"Router", p.Router != nil},
		{"Log", p.Log != nil},
		{"Clock", p.Clock != nil},
		{"Now", p.Now != nil},
	} {
		if !part.there {
			missing = append(missing, part.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("make a worker: without %s", strings.Join(missing, ", "))
	}
	return nil
}

// Worker handles commands, as many at once as it has slots. Any number of workers share the
// commands between them.
type Worker struct {
	js       jetstream.JetStream
	store    *store.Store
	gateways *gateway.Set
	router   Router
	log      *zap.Logger
	clock    Clock
	now      func() time.Time
	// way is the configuration of every delivery.
	way delivery.Config

	cfg   Config
	slots chan struct{}
	busy  sync.WaitGroup
	// consumer is nil until it is found, and after a failure: it may have been deleted and made
	// anew.
	consumer jetstream.Consumer
	// next passes a delivery to a handler that is done with another.
	next chan jetstream.Msg
	// doubts is the number of creates still to be looked up before they are decided; see presumes.
	doubts atomic.Int64
}

// New returns a worker that has not begun. It is to be run once. The error names the parts that are
// missing.
func New(parts Parts, cfg Config) (*Worker, error) {
	if err := parts.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Worker{
		js: parts.JetStream, store: parts.Store, gateways: parts.Gateways, router: parts.Router, log: parts.Log,
		clock: parts.Clock, now: parts.Now,
		way: delivery.Config{
			Policy: cfg.Policy, Patience: cfg.Patience, Retryable: store.Retryable,
			Route: func(cmd messages.Command, p *payment.Payment) payment.Route {
				return parts.Router.Route(factsOf(cmd, p))
			},
		},
		cfg: cfg, slots: make(chan struct{}, cfg.SlotsMax), next: make(chan jetstream.Msg),
	}, nil
}

// fetchWait is the time that one request for commands waits on the server. The worker takes up the
// commands that arrive after it was told to stop: one that was handed back would come back into the
// same request, and each time count as a delivery. So it also bounds how long the worker goes on
// taking up commands.
const fetchWait = time.Second

// Run handles commands until ctx is done. Then it asks for no more, and finishes those that it has
// asked for within DrainTimeout. After that it cuts them short, and their redelivery takes them up.
// NATS and PostgreSQL may be away when it starts and at any time later. It always returns nil, and
// only after every handler has ended.
func (w *Worker) Run(ctx context.Context) error {
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	outage := retry.Outage{Log: w.log, Failing: "cannot fetch commands; retrying", Over: "fetching commands again"}
	retry.Loop(ctx, &outage, func(ctx context.Context) error { return w.fetch(ctx, work) })
	w.drain(cut)
	close(w.next)
	return nil
}

// fetch asks for as many commands as there are free slots and starts a handler for each.
func (w *Worker) fetch(ctx, work context.Context) (err error) {
	defer func() {
		if err != nil {
			w.consumer = nil
		}
	}()
	if w.consumer == nil {
		found, err := w.js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
		if err != nil {
			return fmt.Errorf("find consumer %s of stream %s (has `tender provision` been run?): %w",
				bus.ConsumerWorkers, messages.StreamCommands, err)
		}
		w.consumer = found
	}
	free := w.acquire(ctx)
	if free == 0 {
		return nil
	}
	defer func() { w.release(free) }()
	batch, err := w.consumer.Fetch(free, jetstream.FetchMaxWait(fetchWait))
	if err != nil {
		return fmt.Errorf("fetch %d commands: %w", free, err)
	}
	for msg := range batch.Messages() {
		free--
		w.takeUp(work, msg)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("fetch commands: %w", err)
	}
	return nil
}

// takeUp gives a delivery to a handler. Handlers that are done wait for the next one: their stacks
// have grown to the size that a command takes, and growing a new one costs as much as encoding an
// event.
func (w *Worker) takeUp(work context.Context, msg jetstream.Msg) {
	w.busy.Add(1)
	select {
	case w.next <- msg:
	default:
		go func() {
			for more := true; more; msg, more = <-w.next {
				w.handle(work, msg)
			}
		}()
	}
}

// acquire waits for a free slot and takes every one there is.
func (w *Worker) acquire(ctx context.Context) int {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case w.slots <- struct{}{}:
		default:
			return n
		}
	}
}

func (w *Worker) release(n int) {
	for range n {
		<-w.slots
	}
}

// drain waits for the handlers, then cuts them short.
func (w *Worker) drain(cut context.CancelFunc) {
	done := make(chan struct{})
	go func() {
		w.busy.Wait()
		close(done)
	}()
	limit := time.NewTimer(w.cfg.DrainTimeout)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		w.log.Warn("cutting commands in progress short; their redelivery takes them up",
			zap.Int("commands", len(w.slots)), zap.Duration("drain_timeout", w.cfg.DrainTimeout))
		cut()
		<-done
	}
}
