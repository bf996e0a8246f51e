package chaos

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// sightings are the events that a producer has seen, by payment. Its methods may be called
// concurrently.
type sightings struct {
	mu       sync.Mutex
	payments map[uuid.UUID]*sighted
}

// sighted are the events of one payment. more is closed, and replaced, when there is another.
type sighted struct {
	events []Seen
	more   chan struct{}
}

func newSightings() *sightings { return &sightings{payments: map[uuid.UUID]*sighted{}} }

func (s *sightings) of(paymentID uuid.UUID) *sighted {
	p := s.payments[paymentID]
	if p == nil {
		p = &sighted{more: make(chan struct{})}
		s.payments[paymentID] = p
	}
	return p
}

func (s *sightings) note(e Seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.of(e.PaymentID)
	p.events = append(p.events, e)
	close(p.more)
	p.more = make(chan struct{})
}

// version returns the latest version of a payment that was seen.
func (s *sightings) version(paymentID uuid.UUID) (latest int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.of(paymentID).events {
		latest = max(latest, s.of(paymentID).events[i].Version)
	}
	return latest
}

// await returns true when an event of the payment matches, false when ctx ends before.
func (s *sightings) await(ctx context.Context, paymentID uuid.UUID, match func(*Seen) bool) bool {
	for next := 0; ; {
		s.mu.Lock()
		p := s.of(paymentID)
		events, more := p.events, p.more
		s.mu.Unlock()
		for ; next < len(events); next++ {
			if match(&events[next]) {
				return true
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return false
		}
	}
}
