package rig

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// drifter is a worker and scheduler whose clock can be set. It runs inside this process: there is no way to set the clock of
// another one that does not need its help.
type drifter struct {
	ahead atomic.Int64
	end   context.CancelFunc
	done  chan struct{}
	links *links
}

// startDrifter starts it, if somebody has said how and it does not run.
func (l *Lab) startDrifter(ctx context.Context) error {
	if l.options.Drift == nil || l.drifter != nil {
		return nil
	}
	m := &Member{Name: "drifter", lab: l, roles: []string{roleWorker, roleScheduler}, slotsMax: 32, connsMax: 6}
	var err error
	if m.links, err = l.link(ctx); err != nil {
		return err
	}
	settings, err := l.writeSettings(m)
	if err != nil {
		return err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	d := &drifter{end: end, done: make(chan struct{}), links: m.links}
	now := func() time.Time { return l.now().Add(time.Duration(d.ahead.Load())) }
	go func() {
		defer close(d.done)
		if err := l.options.Drift(running, settings, now); err != nil && running.Err() == nil {
			l.surprise(fmt.Sprintf("the process with a clock of its own ended by itself: %v", err))
		}
	}()
	l.drifter = d
	return nil
}

// jump sets the clock so far ahead of the right time.
func (d *drifter) jump(ahead time.Duration) { d.ahead.Store(int64(ahead)) }

// leave ends it; nil is none.
func (d *drifter) leave() error {
	if d == nil {
		return nil
	}
	d.end()
	<-d.done
	return d.links.close()
}
