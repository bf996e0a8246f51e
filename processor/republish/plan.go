package republish

import (
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Reason is why a payment was left for later.
type Reason string

// The reasons, which the package explains.
const (
	ReasonRecent     Reason = "recent"
	ReasonInFlight   Reason = "in_flight"
	ReasonMoved      Reason = "moved"
	ReasonParked     Reason = "parked"
	ReasonUnreadable Reason = "unreadable"
)

// Left is a payment that was left for later.
type Left struct {
	PaymentID uuid.UUID `json:"payment_id"`
	Reason    Reason    `json:"reason"`
}

// onBus is one message that the stream holds of a payment.
type onBus struct {
	id       string
	sequence uint64
	recent   bool // within the window for duplicates
	body     []byte
}

// plan is the work for one payment.
type plan struct {
	// from is the version from which the payment is sent again; 0 if it is in order.
	from int64
	// missing are the events of the range that are neither on the bus nor on their way, again those
	// to be sent.
	missing, again int64
	reason         Reason
}

// choice selects the events of a run.
type choice struct {
	since, until time.Time
	// all sends every event again, also those that the bus holds.
	all bool
}

func (c choice) ended(e books.PublishedEvent) bool {
	return !c.until.IsZero() && !e.OccurredAt.Before(c.until)
}

// decide compares a payment with its messages on the bus, in the order of the stream.
func (c choice) decide(p books.Published, bus []onBus) plan {
	if p.Unreadable != nil {
		return plan{reason: ReasonUnreadable}
	}
	w := newWay(p, bus)
	var d plan
	begun, latest := false, 0
	for _, e := range p.Events {
		if begun = begun || !e.OccurredAt.Before(c.since); !begun {
			continue
		}
		position, found := w.position[e.Message.ID]
		lacking := !found && !c.ended(e)
		if lacking {
			d.missing++
		}
		switch {
		case d.from != 0:
		case lacking, found && position < latest, c.all && !c.ended(e):
			d.from = e.Version
		case found:
			latest = position
		}
		if d.from != 0 {
			d.again++
			if w.recent[e.Message.ID] {
				d.reason = ReasonRecent
			}
		}
	}
	if d.from != 0 && w.parked {
		d.reason = ReasonParked
	}
	return d
}

// way is in which order a payment's messages are on the bus, or will be: the last occurrence of
// each counts.
type way struct {
	position map[string]int
	recent   map[string]bool
	parked   bool
}

func newWay(p books.Published, bus []onBus) way {
	w := way{position: make(map[string]int, len(bus)), recent: map[string]bool{}}
	for i, m := range bus {
		w.position[m.id] = i + 1
		w.recent[m.id] = m.recent
	}
	for i, q := range p.Queued {
		w.parked = w.parked || q.Parked
		if !w.recent[q.MessageID] { // else the stream will drop it
			w.position[q.MessageID] = len(bus) + i + 1
		}
	}
	return w
}
