package simulator

import (
	"fmt"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// Config tunes a simulator. The zero value keeps everything in memory and sends no events.
type Config struct {
	sim.Config
	// Journal is the file that keeps the ledger, and from which it is read back; "" keeps it in
	// memory. One simulator at a time may use it.
	Journal string
	// Sync writes every record through to the disk before it is answered; without it a crash of the
	// machine may lose some.
	Sync bool
	// Webhook is the receiver of events.
	Webhook Webhook
}

// Simulator is the simulated gateway with its server, journal and webhooks. It may be used
// concurrently.
type Simulator struct {
	*sim.Simulator
	now       func() time.Time
	journal   *journal   // nil without a journal
	messenger *messenger // nil without a webhook
	moment    time.Duration
	// stop ends the waiting for disputes that are to be opened; running counts them.
	stop    chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	disputes map[string]*dispute
}

var _ gateway.Gateway = (*Simulator)(nil)

// New returns a simulator that knows the contents of its journal. It fails when the journal cannot
// be read or written, or a bound makes no sense. Close it after use.
func New(c Config) (*Simulator, error) {
	if err := c.Webhook.complete(); err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Simulator{now: c.Now, moment: c.Webhook.Moment, stop: make(chan struct{}), disputes: make(map[string]*dispute)}
	var observer sim.Observer
	if c.Journal != "" {
		s.journal = &journal{sync: c.Sync}
		observer.Record = s.journal.keep
	}
	if c.Webhook.URL != "" {
		observer.Tell, observer.Lead, observer.Moment = s.tell, c.Webhook.Lead, c.Webhook.Moment
	}
	var err error
	if s.Simulator, err = sim.NewObserved(c.Config, observer); err != nil {
		return nil, err
	}
	if s.journal != nil {
		if err := s.journal.open(c.Journal, s.Restore); err != nil {
			return nil, fmt.Errorf("start simulator: %w", err)
		}
	}
	if c.Webhook.URL != "" {
		s.messenger = newMessenger(c.Webhook, c.Now)
	}
	return s, nil
}

// Close releases every answer that is held back, waits for it, gives up the events that were not
// taken yet, and closes the journal. Later requests are answered with unavailable; the ledger can
// still be read. Closing again does nothing.
func (s *Simulator) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	s.mu.Unlock()
	if err := s.Simulator.Close(); err != nil { // After that nothing is told or recorded any more.
		return err
	}
	s.running.Wait()
	if s.messenger != nil {
		s.messenger.close()
	}
	if s.journal == nil {
		return nil
	}
	if err := s.journal.close(); err != nil {
		return fmt.Errorf("close simulator: %w", err)
	}
	return nil
}
