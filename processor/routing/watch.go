package routing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

// watchTimeout bounds how long it may take to begin to watch.
const watchTimeout = 10 * time.Second

// errBehind says that the bucket holds something that the watch has not shown.
var errBehind = errors.New("the watch has missed a change")

// Watch follows the bucket until ctx ends. NATS may be away when it begins and at any time later, and the bucket may be missing:
// the rules in force stay as they are. A bucket that comes back empty means the configured rules. It runs once for a Live.
func (l *Live) Watch(ctx context.Context, kv jetstream.KeyValueManager) {
	pause := retry.BackOff(100*time.Millisecond, l.cfg.CheckInterval)
	var failing, missing bool
	for {
		err := l.follow(ctx, kv, func() {
			if failing {
				l.cfg.Log.Info("the routing rules are watched again")
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
				l.cfg.Log.Warn("the routing rules cannot be watched: those in force stay, trying again", zap.Error(err))
			}
			failing = true
			wait = pause.NextBackOff()
		}
		retry.Sleep(ctx, wait)
	}
}

// noteMissing settles that there is no bucket: whatever is in force stays.
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

// follow watches until something is wrong with the watch, and says what.
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

// receive takes what the watch shows, and now and then makes sure that it shows everything.
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
