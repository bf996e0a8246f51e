package status

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// HeartbeatDefault is the time between two reports when nothing happens.
const HeartbeatDefault = 5 * time.Second

// feedSize is the number of changes that may wait for the bus. Breakers change a few times in a
// minute.
const feedSize = 256

// change is one step of a breaker.
type change struct {
	gateway string
	to      gateway.State
	at      time.Time
}

// Feed carries the changes of breakers, which must not wait for anything, to a Reporter. It may be
// used concurrently. The zero Feed is not valid; make one with NewFeed.
type Feed struct {
	changes chan change
	now     func() time.Time
}

// NewFeed returns a feed that tells the time of changes by now.
func NewFeed(now func() time.Time) *Feed {
	return &Feed{changes: make(chan change, feedSize), now: now}
}

// Changed notes that the breaker of a gateway has come to a state. It never waits: when far too
// many changes are waiting, this one is dropped, and the next heartbeat tells the breaker's state.
func (f *Feed) Changed(gateway string, to gateway.State) {
	select {
	case f.changes <- change{gateway, to, f.now()}:
	default:
	}
}

// Config tunes a Reporter.
type Config struct {
	// Instance names the process and is one token of a subject; see InstanceName.
	Instance string
	// Version is that of the program; may be empty.
	Version string
	// Heartbeat is the time between two reports on a gateway when nothing happens; 0 is
	// HeartbeatDefault.
	Heartbeat time.Duration
	// Now is the clock. Required.
	Now func() time.Time
}

// Reporter publishes the status of its process's gateways.
type Reporter struct {
	nc   *nats.Conn
	set  *gateway.Set
	feed *Feed
	cfg  Config
}

// NewReporter returns a reporter on the gateways of set that has not begun. It fails when the
// instance's name cannot be part of a subject or there is no clock.
func NewReporter(nc *nats.Conn, set *gateway.Set, feed *Feed, cfg Config) (*Reporter, error) {
	if cfg.Instance == "" || InstanceName(cfg.Instance) != cfg.Instance {
		return nil, fmt.Errorf("report on gateways: %q cannot be part of a subject", cfg.Instance)
	}
	if cfg.Now == nil {
		return nil, errors.New("report on gateways: there is no clock")
	}
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, HeartbeatDefault)
	return &Reporter{nc: nc, set: set, feed: feed, cfg: cfg}, nil
}

// Run reports until ctx is done: at once, on every change of a breaker, with every heartbeat, and
// when asked. NATS may be away meanwhile. It fails only when it cannot listen for questions, as on
// a connection that is closed.
func (r *Reporter) Run(ctx context.Context) error {
	questions := make(chan *nats.Msg, 1) // One that waits is answered together with those that find no room behind it.
	sub, err := r.nc.Subscribe(SubjectRequest, func(m *nats.Msg) {
		select {
		case questions <- m:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("listen on %s: %w", SubjectRequest, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // It fails only on a connection that has gone, and the subscription with it.
	heartbeat := time.NewTicker(r.cfg.Heartbeat)
	defer heartbeat.Stop()
	r.reportAll()
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-r.feed.changes:
			r.reportChange(c)
		case <-questions:
			r.reportAll()
		case <-heartbeat.C:
			r.reportAll()
		}
	}
}

func (r *Reporter) reportAll() {
	for _, name := range r.set.Names() {
		if g, ok := r.set.Get(name); ok {
			r.publish(g.Status())
		}
	}
}

// reportChange reports on a breaker as it stood after one change, though it may have moved on.
func (r *Reporter) reportChange(c change) {
	g, ok := r.set.Get(c.gateway)
	if !ok {
		return
	}
	s := g.Status()
	s.State, s.Since = c.to, c.at.UTC()
	r.publish(s)
}

// publish sends a report if the connection is up. A report that the connection kept until NATS is
// back would be old news.
func (r *Reporter) publish(s gateway.Status) {
	if !r.nc.IsConnected() {
		return
	}
	data, err := json.Marshal(Report{Status: s, Instance: r.cfg.Instance, Version: r.cfg.Version, At: r.cfg.Now().UTC()})
	if err != nil {
		panic("status: a report cannot be encoded: " + err.Error())
	}
	// The next report makes up for a lost one, and the connection itself tells of its troubles.
	_ = r.nc.Publish(Subject(s.Gateway, r.cfg.Instance), data)
}
