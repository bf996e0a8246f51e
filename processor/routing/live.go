package routing

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// Source is where a set of rules comes from.
type Source string

// The sources.
const (
	SourceConfiguration Source = "configuration"
	SourceBucket        Source = "bucket"
)

// InForce holds the rules that decide, and the set that was refused since.
type InForce struct {
	Rules  *Rules
	Source Source
	// Revision is that of the bucket; 0 for the configured rules.
	Revision uint64
	// Refused is the revision in the bucket that this process does not take, and Reason why; 0 and
	// nil if there is none.
	Refused uint64
	Reason  error

	// document and refusedDocument are the sets that were taken and refused, since a bucket that
	// was lost and made again counts its revisions anew.
	document, refusedDocument []byte
}

// LiveConfig holds the settings of a Live.
type LiveConfig struct {
	// Configured are the rules for as long as the bucket holds none. Required.
	Configured *Rules
	// Gateways are those that a set in the bucket may use.
	Gateways Gateways
	Log      *zap.Logger
	// CheckInterval is the time between two looks at the bucket besides watching it, so that a
	// watch that has fallen silent is noticed, and between two looks for a missing bucket; default
	// 10 s.
	CheckInterval time.Duration
}

// Live is the rules in force in this process. Route may be called at any time from anywhere; Watch
// keeps the rules up to date with the bucket.
type Live struct {
	cfg     LiveConfig
	inForce atomic.Pointer[InForce]
	// looked is closed once the bucket was looked at for the first time.
	looked     chan struct{}
	lookedOnce sync.Once
}

// NewLive returns the configured rules, in force until Watch finds others.
func NewLive(cfg LiveConfig) (*Live, error) {
	switch {
	case cfg.Configured == nil:
		return nil, errors.New("route payments: no rules are configured")
	case cfg.Log == nil:
		cfg.Log = zap.NewNop()
	}
	cfg.CheckInterval = cmp.Or(cfg.CheckInterval, 10*time.Second)
	l := &Live{cfg: cfg, looked: make(chan struct{})}
	l.inForce.Store(l.configured())
	return l, nil
}

// Route chooses the gateway for a payment by the rules in force. One call sees one set, and takes
// no lock.
func (l *Live) Route(f Facts) payment.Route { return l.inForce.Load().Rules.Route(f) }

// InForce returns the rules that decide at the moment.
func (l *Live) InForce() InForce { return *l.inForce.Load() }

// Looked is closed once Watch knows the content of the bucket, or that there is none. Until then
// the configured rules decide though others may have been set.
func (l *Live) Looked() <-chan struct{} { return l.looked }

func (l *Live) noteLooked() { l.lookedOnce.Do(func() { close(l.looked) }) }

func (l *Live) configured() *InForce {
	return &InForce{Rules: l.cfg.Configured, Source: SourceConfiguration}
}

// take puts a document of the bucket in force, or refuses it and leaves the rules as they are. Only
// Watch calls it.
func (l *Live) take(document []byte, revision uint64) {
	now := *l.inForce.Load()
	switch {
	case revision == now.Revision && bytes.Equal(document, now.document):
		return
	case revision == now.Refused && bytes.Equal(document, now.refusedDocument):
		return
	}
	rules, err := Parse(document, l.cfg.Gateways)
	if err != nil {
		now.Refused, now.Reason, now.refusedDocument = revision, err, document
		l.inForce.Store(&now)
		l.cfg.Log.Error("refusing the routing rules in the bucket; the last good ones stay in force",
			zap.Uint64("refused_revision", revision), zap.String("source", string(now.Source)), zap.Uint64("revision", now.Revision), zap.Error(err))
		return
	}
	l.inForce.Store(&InForce{Rules: rules, Source: SourceBucket, Revision: revision, document: document})
	l.cfg.Log.Info("routing rules from the bucket are in force", zap.Uint64("revision", revision), zap.Int("rules", len(rules.All())))
	for _, warning := range rules.Warnings() {
		l.cfg.Log.Warn("check the routing rules: they probably do not do what their author meant", zap.Uint64("revision", revision), zap.String("warning", warning))
	}
}

// fallBack puts the configured rules in force, since the bucket is there and holds none.
func (l *Live) fallBack() {
	before := l.inForce.Swap(l.configured())
	if before.Source != SourceConfiguration {
		l.cfg.Log.Info("the bucket holds no routing rules any more; the configured ones are in force", zap.Uint64("revision_before", before.Revision))
	}
}

// watchTimeout bounds how long it may take to begin to watch.
const watchTimeout = 10 * time.Second

// errBehind says that the bucket holds a change that the watch has not shown.
var errBehind = errors.New("the watch has missed a change")

// Watch follows the bucket until ctx ends. NATS may be away when it begins and at any time later,
// and the bucket may be missing: the rules in force stay as they are. A bucket that comes back
// empty means the configured rules. It runs once for a Live.
func (l *Live) Watch(ctx context.Context, kv jetstream.KeyValueManager) {
	pause := retry.BackOff(100*time.Millisecond, l.cfg.CheckInterval)
	var failing, missing bool
	for {
		err := l.follow(ctx, kv, func() {
			if failing {
				l.cfg.Log.Info("watching the routing rules again")
			}
			pause.Reset()
			failing, missing = false, false
		})
		if ctx.Err() != nil {
			return
		}
		wait := l.cfg.CheckInterval
		switch {
		case errors.Is(err, ErrNoBucket):
			l.noteMissing(missing)
			missing = true
		case errors.Is(err, errBehind):
			l.cfg.Log.Info("looking at the routing rules anew", zap.Error(err))
			wait = 0
		default:
			if !failing {
				l.cfg.Log.Warn("cannot watch the routing rules; those in force stay; retrying", zap.Error(err))
			}
			failing = true
			wait = pause.NextBackOff()
		}
		retry.Sleep(ctx, wait)
	}
}

// noteMissing notes that there is no bucket: the rules in force stay.
func (l *Live) noteMissing(saidBefore bool) {
	l.noteLooked()
	if saidBefore {
		return
	}
	now := l.InForce()
	if now.Source == SourceBucket {
		l.cfg.Log.Error("the bucket of the routing rules is gone: its last rules stay in force here until it is back",
			zap.String("bucket", Bucket), zap.Uint64("revision", now.Revision))
		return
	}
	l.cfg.Log.Info("there is no bucket for routing rules (tender provision makes it): the configured ones are in force", zap.String("bucket", Bucket))
}

// follow watches until the watch fails, and returns why.
func (l *Live) follow(ctx context.Context, kv jetstream.KeyValueManager, begun func()) error {
	bucket, err := openBucket(ctx, kv)
	if err != nil {
		return err
	}
	// The watch lives as long as its context, and waits as long for its beginning.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	overdue := time.AfterFunc(watchTimeout, cancel)
	watcher, err := bucket.Watch(ctx, Key)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", Bucket, err)
	}
	defer func() { _ = watcher.Stop() }() // it may have ended by itself
	if !overdue.Stop() {
		return fmt.Errorf("watch bucket %s: no answer within %s", Bucket, watchTimeout)
	}
	begun()
	return l.receive(ctx, bucket, watcher)
}

// receive takes the changes that the watch shows, and now and then makes sure that it shows them
// all.
func (l *Live) receive(ctx context.Context, bucket jetstream.KeyValue, watcher jetstream.KeyWatcher) error {
	check := time.NewTicker(l.cfg.CheckInterval)
	defer check.Stop()
	var last uint64 // the revision that the bucket is at as far as the watch has shown, 0 for no rules
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return errors.New("the watch has ended")
			case entry == nil: // everything that there was has been shown
				if last == 0 {
					l.fallBack()
				}
				l.noteLooked()
			case entry.Operation() != jetstream.KeyValuePut:
				last = 0
				l.fallBack()
			default:
				last = entry.Revision()
				l.take(entry.Value(), last)
			}
		case <-check.C:
			if err := compare(ctx, bucket, last); err != nil {
				return err
			}
		}
	}
}

// compare asks for the revision that the bucket is at.
func compare(ctx context.Context, bucket jetstream.KeyValue, shown uint64) error {
	var revision uint64
	entry, err := bucket.Get(ctx, Key)
	switch {
	case err == nil:
		revision = entry.Revision()
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("look at bucket %s: %w", Bucket, err)
	}
	if revision != shown {
		return errBehind
	}
	return nil
}
