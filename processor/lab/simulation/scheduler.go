package simulation

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// The scheduler's settings: see scheduler.Config.
const (
	poll       = 250 * time.Millisecond
	lease      = 30 * time.Second
	sweepEvery = 30 * time.Second
	sweepAge   = 5 * time.Minute
	spread     = 3 * time.Second
)

// timer is a row of timers.
type timer struct {
	dueAt, fireAt time.Time
	fired         int
	gateway       string
	now           bool
	// resume is the command of its latest firing, as long as that may wait.
	resume *message
	// seq is the stream's last sequence after the firing.
	seq uint64
}

// lookAt lets a scheduler find the payment's timers at some time, late by its polling at most.
func (w *world) lookAt(id uuid.UUID, at time.Time) {
	if at.Before(w.now) {
		at = w.now
	}
	w.at(at.Add(time.Duration(w.rng.Int64N(int64(poll)))), func() { w.fireTimers(id) })
}

func (w *world) fireTimers(id uuid.UUID) {
	r := w.store.rows[id]
	if r == nil {
		return
	}
	w.fire(r, r.due, "due")
	w.fire(r, r.stale, "stale")
}

// fire publishes the resume of a timer that is due. One whose resume may still wait does not fire
// again.
func (w *world) fire(r *row, t *timer, kind string) {
	if t == nil || t.resume != nil || t.fireAt.After(w.now) {
		return
	}
	t.fired++
	id := kind + "-" + strconv.FormatInt(t.dueAt.UnixMicro(), 36) + "-" + strconv.Itoa(t.fired)
	w.count("resumes")
	w.trace("timer %s fires for %s, now=%t", id, w.short(r.p.ID), t.now)
	t.resume = w.bus.publish(messages.Command{
		ID: id, Tenant: r.p.Tenant, PaymentID: r.p.ID, CorrelationID: r.p.ID.String(), Body: &messages.Resume{DueAt: t.dueAt, Now: t.now},
	}, nil)
	t.seq = w.bus.last
	t.fireAt = w.now.Add(lease)
	w.proveLater(r.p.ID, t.fireAt)
}

// proveLater looks whether a resume still waits, as long as it does.
func (w *world) proveLater(id uuid.UUID, at time.Time) {
	w.at(at.Add(time.Duration(w.rng.Int64N(int64(lease/4)))), func() {
		r := w.store.rows[id]
		if r == nil {
			return
		}
		for _, t := range []*timer{r.due, r.stale} {
			switch {
			case t == nil || t.resume == nil || t.fireAt.After(w.now):
			case w.bus.handled() >= t.seq:
				t.resume = nil
				w.lookAt(id, t.fireAt)
			default:
				w.proveLater(id, w.now.Add(lease/4))
			}
		}
	})
}

// sweepLater lets a scheduler find a call that no worker came back to.
func (w *world) sweepLater(p *payment.Payment) {
	since, id := awaiting(p), p.ID
	if since.IsZero() {
		return
	}
	w.at(since.Add(sweepAge+time.Duration(w.rng.Int64N(int64(sweepEvery)))), func() { w.sweep(id) })
}

// sweep sets the timer of a stale call, and forgets it when the call was settled.
func (w *world) sweep(id uuid.UUID) {
	r := w.store.rows[id]
	if r == nil {
		return
	}
	since := awaiting(r.p)
	stale := !since.IsZero() && since.Before(w.now.Add(-sweepAge))
	switch {
	case !stale:
		r.stale = nil
		return
	case r.stale == nil:
		w.count("sweeps")
		r.stale = &timer{dueAt: w.now, fireAt: w.now}
		w.lookAt(id, w.now)
	}
	w.after(sweepEvery, func() { w.sweep(id) })
}

// unpark brings forward the payments that are parked for a gateway which answers again.
func (w *world) unpark(gateway string) {
	for _, sub := range w.subjects {
		r := w.store.rows[sub.id]
		if r == nil || r.due == nil || r.due.gateway != gateway || r.due.now || r.due.resume != nil {
			continue
		}
		r.due.now = true
		if at := w.now.Add(time.Duration(w.rng.Int64N(int64(spread)))); at.Before(r.due.fireAt) {
			r.due.fireAt = at
		}
		w.count("unparked")
		w.lookAt(sub.id, r.due.fireAt)
	}
}
