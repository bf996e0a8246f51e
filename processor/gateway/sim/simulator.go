package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// hangMax bounds how long a request or an answer may be held back.
const hangMax = 10 * time.Minute

// Config says how the simulator behaves. The zero value keeps everything in memory and holds back for 30 s.
type Config struct {
	// Journal is a file that the ledger is kept in and read back from; "" keeps it in memory. One simulator at a time may use it.
	Journal string
	// Sync writes every record through to the disk before it is answered; without it a crash of the machine may lose some.
	Sync bool
	// Hang is how long the faults that run into the client's timeout hold back, at most ten minutes; 0 is 30 s.
	Hang time.Duration
	// RetryAfter is what sim_429 asks for, in whole seconds; 0 is 1 s.
	RetryAfter time.Duration
	// AuthorizationLifetime is how long an authorization can be captured; 0 is 7 days.
	AuthorizationLifetime time.Duration
	// PendingLookups is how many lookups find a pending refund still pending; 0 is 1, and -1 none.
	PendingLookups int
	// URL is the simulator's own address as a customer's browser reaches it, for next_action; "" is one that leads nowhere.
	URL string
	// Webhook is whom to tell what was done.
	Webhook Webhook
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Simulator is the gateway. It may be used concurrently.
type Simulator struct {
	config Config
	dials  *dialFaults
	// messenger is nil if nobody is to be told.
	messenger *messenger
	// stop releases what is held back; running waits for what still takes effect.
	stop    chan struct{}
	running sync.WaitGroup

	mu             sync.Mutex
	closed         bool
	broken         error // why the journal can no longer be written
	journal        *journal
	requests       map[string]*request
	authorizations map[string]*authorization
	entries        []Entry
	disputes       map[string]*dispute
}

var _ gateway.Gateway = (*Simulator)(nil)

// New returns a simulator that knows what its journal holds. It fails when the journal cannot be read or written, or a bound
// makes no sense. Close it when it is no longer used.
func New(c Config) (*Simulator, error) {
	c.Hang = orDuration(c.Hang, 30*time.Second)
	c.RetryAfter = orDuration(c.RetryAfter, time.Second)
	c.AuthorizationLifetime = orDuration(c.AuthorizationLifetime, 7*24*time.Hour)
	switch c.PendingLookups {
	case 0:
		c.PendingLookups = 1
	case -1:
		c.PendingLookups = 0
	}
	if c.URL == "" {
		c.URL = "https://simulator.invalid"
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Hang < 0 || c.Hang > hangMax:
		return nil, fmt.Errorf("start simulator: it may hold back for at most %s, not %s", hangMax, c.Hang)
	case c.RetryAfter < 0 || c.RetryAfter%time.Second != 0:
		return nil, fmt.Errorf("start simulator: the rest it asks for is in whole seconds, not %s", c.RetryAfter)
	case c.AuthorizationLifetime < 0 || c.PendingLookups < 0:
		return nil, errors.New("start simulator: a bound is negative")
	}
	if err := c.Webhook.complete(); err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	s := &Simulator{
		config: c, dials: newDialFaults(), stop: make(chan struct{}),
		requests: make(map[string]*request), authorizations: make(map[string]*authorization),
		disputes: make(map[string]*dispute),
	}
	if c.Journal != "" {
		if err := s.open(c.Journal); err != nil {
			return nil, fmt.Errorf("start simulator: %w", err)
		}
	}
	if c.Webhook.URL != "" {
		s.messenger = newMessenger(c.Webhook, c.Now)
	}
	return s, nil
}

func orDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Close releases everything that is held back, waits for it, gives up the events that nobody took yet, and closes the journal. What comes
// later is answered with unavailable; the ledger can still be read. Closing again does nothing.
func (s *Simulator) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	s.mu.Unlock()
	s.running.Wait()
	if s.tells() {
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

// Do implements gateway.Gateway as if over a network that has no latency.
func (s *Simulator) Do(ctx context.Context, op messages.Operation) messages.Outcome {
	if ctx.Err() != nil {
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: fmt.Sprintf("no connection: %v", context.Cause(ctx))}
	}
	if s.dials.befall(op) {
		return dialError()
	}
	r, alive := s.exchange(ctx, op)
	switch {
	case !alive:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("no answer in time: %v", context.Cause(ctx))}
	case r.cut:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no answer: connection reset by the gateway"}
	}
	return r.outcome(protocol.Exchange{OperationID: op.ID})
}

// Lookup implements gateway.Gateway.
func (s *Simulator) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	if ctx.Err() != nil {
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("no connection: %v", context.Cause(ctx))}
	}
	return s.lookup(op.ID).outcome(protocol.Exchange{OperationID: op.ID, Lookup: true})
}

// reply is what the simulator has to say, and what befalls it on its way.
type reply struct {
	// One of answer and problem is set.
	answer     *protocol.Answer
	problem    *protocol.Problem
	retryAfter time.Duration
	// delay is how long the operation takes before anything of the rest is known.
	delay time.Duration
	// held says that the answer is held back, and cut that the connection breaks in the middle of it.
	held, cut bool
	// told is closed when the event about it was taken; nil if there is none. beaten says that the answer waits for that.
	told   <-chan struct{}
	beaten bool
}

func (r reply) outcome(e protocol.Exchange) messages.Outcome {
	if r.problem != nil {
		return e.Refused(*r.problem, r.retryAfter)
	}
	return e.Answered(*r.answer)
}

func problem(code protocol.Code, format string, args ...any) reply {
	return reply{problem: &protocol.Problem{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// exchange carries one request through. It returns false when the client was gone before there was something to say; what was
// begun is finished all the same.
func (s *Simulator) exchange(ctx context.Context, op messages.Operation) (reply, bool) {
	r := s.begin(op)
	if r.delay > 0 {
		later := make(chan reply, 1)
		go func() {
			defer s.running.Done()
			later <- s.finish(op, s.pause(context.WithoutCancel(ctx), r.delay))
		}()
		select {
		case r = <-later:
		case <-ctx.Done():
			return reply{}, false
		}
	}
	if r.held && !s.pause(ctx, s.config.Hang) && ctx.Err() != nil {
		return reply{}, false
	}
	if r.beaten && r.told != nil && !s.lose(ctx, r.told) {
		return reply{}, false
	}
	return r, true
}

// lose holds an answer back until its event was taken, and a little longer. It returns false when the client was gone before.
func (s *Simulator) lose(ctx context.Context, told <-chan struct{}) bool {
	timer := time.NewTimer(s.config.Hang)
	defer timer.Stop()
	select {
	case <-told:
		s.pause(ctx, s.config.Webhook.Lead)
	case <-timer.C:
	case <-s.stop:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// pause waits, and reports whether that was the whole time: neither did the client go nor the simulator close.
func (s *Simulator) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.stop:
		return false
	}
}
