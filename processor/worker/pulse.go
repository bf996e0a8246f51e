package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// pulse calls beat at an interval for as long as it says so.
type pulse struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
	// progressed is when the work last got anywhere, in Unix nanoseconds.
	progressed atomic.Int64
}

func (p *pulse) start(interval time.Duration, beat func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(interval, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.ended && beat() {
			p.timer.Reset(interval)
		}
	})
}

func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.timer.Stop()
}

// progress notes that the command got somewhere.
func (h *handling) progress() { h.pulse.progressed.Store(h.now().UnixNano()) }

// beat tells JetStream that the command is being worked on, for as long as it gets anywhere. One that hangs is left to
// be delivered to another worker: the payment's version keeps the two apart.
func (h *handling) beat() bool {
	if h.now().UnixNano()-h.pulse.progressed.Load() > int64(h.cfg.HandleTimeout) {
		h.log.Error("a command hangs: leaving it to be delivered again", zap.String("subject", h.msg.Subject()))
		return false
	}
	// Failing means a lost connection: then the command is delivered again, which changes nothing.
	return h.msg.InProgress() == nil
}
