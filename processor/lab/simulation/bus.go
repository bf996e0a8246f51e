package simulation

import (
	"errors"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// The consumer's settings: see worker.Config.
const (
	ackWait       = 30 * time.Second
	deliveriesMax = 8
)

// bus is the model of the stream of commands and the workers' consumer.
type bus struct {
	w    *world
	last uint64
	// waiting are the messages that are not settled, by sequence.
	waiting map[uint64]*message
	// work is what a worker does with a delivery.
	work func(*message)
}

// message is one command in the stream.
type message struct {
	seq        uint64
	cmd        messages.Command
	deliveries int
	redriven   int
	settled    bool
	// heard is called once, when the command came to its outcome.
	heard func()
}

func newBus(w *world) *bus { return &bus{w: w, waiting: map[uint64]*message{}, work: w.work} }

// publish stores a command and delivers it soon: not always in order.
func (b *bus) publish(cmd messages.Command, heard func()) *message {
	b.last++
	m := &message{seq: b.last, cmd: cmd, heard: heard}
	b.waiting[m.seq] = m
	delay := b.w.between(time.Millisecond, 20*time.Millisecond)
	if b.w.faulty(b.w.profile.reorder) {
		delay = b.w.between(100*time.Millisecond, 2*time.Minute)
	}
	b.w.after(delay, func() { b.deliver(m) })
	return m
}

// handled is a sequence at or below which every command was settled.
func (b *bus) handled() uint64 {
	lowest := b.last + 1
	for seq := range b.waiting {
		lowest = min(lowest, seq)
	}
	return lowest - 1
}

// deliver hands a command to a worker.
func (b *bus) deliver(m *message) {
	if m.settled {
		return
	}
	m.deliveries++
	if m.deliveries > deliveriesMax {
		b.bury(m, errors.New("delivered too often without an outcome"))
		return
	}
	if m.deliveries > 1 {
		b.w.count("redeliveries")
	}
	b.work(m)
}

// again delivers a command once more if nothing settles it before.
func (b *bus) again(m *message, after time.Duration) {
	b.w.after(after, func() { b.deliver(m) })
}

// ack settles a command whose outcome stands. If the acknowledgement is lost, the command comes
// again.
func (b *bus) ack(m *message) {
	if m.heard != nil {
		m.heard()
		m.heard = nil
	}
	if b.w.faulty(b.w.profile.lostAck) {
		b.w.count("lost acknowledgements")
		b.again(m, ackWait)
		return
	}
	b.settle(m)
}

func (b *bus) settle(m *message) {
	m.settled = true
	delete(b.waiting, m.seq)
}

// handBack gives a command back, to come again.
func (b *bus) handBack(m *message) {
	delay := min(time.Second<<min(m.deliveries-1, 6), time.Minute)
	b.again(m, delay/2+time.Duration(b.w.rng.Int64N(int64(delay))))
}

// bury makes a command a dead letter. An operator sends it again some time later.
func (b *bus) bury(m *message, why error) {
	w := b.w
	w.count("dead letters")
	w.trace("DEAD LETTER %s: %v", m.cmd.Name(), why)
	b.settle(m)
	switch sub := w.subject(m.cmd.PaymentID); {
	case m.cmd.Name() == messages.CommandResume:
		return // The timer that it is of fires again.
	case sub.lost, m.redriven > 0 && w.store.get(sub.id).InReview():
		// It waits for a person, as what it is about does.
		sub.excuse = "a dead letter waits for a person"
		return
	case m.redriven >= 20:
		w.fail("everything ends", "%s %s is a dead letter for the twentieth time: %v", m.cmd.Name(), m.cmd.ID, why)
		return
	}
	w.after(w.between(10*time.Minute, 24*time.Hour), func() {
		b.publish(m.cmd, m.heard).redriven = m.redriven + 1
	})
}
