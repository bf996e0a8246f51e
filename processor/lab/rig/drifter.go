package rig

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// drifter is a worker and scheduler with a clock that faults can set. It runs inside this process,
// because the clock of another process cannot be set from outside.
type drifter struct {
	ahead atomic.Int64
	end   context.CancelFunc
	done  chan struct{}
	links *links
}

// startDrifter starts the drifter, if the options define one and none runs.
func startDrifter(ctx context.Context, r *Rig) error {
	if r.options.Drift == nil || r.drifter != nil {
		return nil
	}
	m := &Member{Name: "drifter", rig: r, roles: []string{roleWorker, roleScheduler}, slotsMax: 32, connsMax: 6}
	var err error
	if m.links, err = r.link(ctx); err != nil {
		return err
	}
	settings, err := m.writeSettings()
	if err != nil {
		return err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	d := &drifter{end: end, done: make(chan struct{}), links: m.links}
	now := func() time.Time { return r.now().Add(time.Duration(d.ahead.Load())) }
	go func() {
		defer close(d.done)
		if err := r.options.Drift(running, settings, now); err != nil && running.Err() == nil {
			r.surprise(fmt.Sprintf("the process with a clock of its own ended by itself: %v", err))
		}
	}()
	r.drifter = d
	return nil
}

// jump sets the clock ahead of the right time.
func (d *drifter) jump(ahead time.Duration) { d.ahead.Store(int64(ahead)) }

// leave ends the drifter. A nil drifter is none.
func (d *drifter) leave() error {
	if d == nil {
		return nil
	}
	d.end()
	<-d.done
	return d.links.close()
}
