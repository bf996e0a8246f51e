package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// hangMax is the longest time for which a request or an answer may be held back.
const hangMax = 10 * time.Minute

// Config tunes a simulator. The zero value holds answers back for 30 s.
type Config struct {
	// Hang is the time that the faults which run into the client's timeout hold back, at most ten
	// minutes; 0 is 30 s.
	Hang time.Duration
	// RetryAfter is the rest that sim_429 asks for, in whole seconds; 0 is 1 s.
	RetryAfter time.Duration
	// AuthorizationLifetime is the time in which an authorization can be captured; 0 is 7 days.
	AuthorizationLifetime time.Duration
	// PendingLookups is the number of lookups that find a pending operation still pending; 0 is 1,
	// and -1 none.
	PendingLookups int
	// URL is the simulator's own address as a customer's browser reaches it, for next_action, which
	// allows https only; "" is one that leads nowhere.
	URL string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// PathChallenge is followed by the reference of an authorization: the page behind Config.URL to
// which next_action leads the customer.
const PathChallenge = "/challenge/"

// Simulator is the gateway, with its ledger in memory. It may be used concurrently.
type Simulator struct {
	config   Config
	observer Observer
	dials    *dialFaults
	// stop releases the answers that are held back; running counts the goroutines that may still
	// change the ledger.
	stop    chan struct{}
	running sync.WaitGroup

	mu             sync.Mutex
	closed         bool
	broken         error // why a record could not be kept; nothing is done after that
	requests       map[protocol.Key]*request
	authorizations map[owned]*authorization
	entries        []Entry
}

var _ gateway.Gateway = (*Simulator)(nil)

// New returns a simulator that keeps its ledger in memory only. It fails when a bound makes no
// sense. Close it after use.
func New(c Config) (*Simulator, error) { return NewObserved(c, Observer{}) }

// NewObserved is New with an observer of every record.
func NewObserved(c Config, o Observer) (*Simulator, error) {
	c.Hang = cmp.Or(c.Hang, 30*time.Second)
	c.RetryAfter = cmp.Or(c.RetryAfter, time.Second)
	c.AuthorizationLifetime = cmp.Or(c.AuthorizationLifetime, 7*24*time.Hour)
	switch c.PendingLookups {
	case 0:
		c.PendingLookups = 1
	case -1:
		c.PendingLookups = 0
	}
	c.URL = strings.TrimSuffix(cmp.Or(c.URL, "https://simulator.invalid"), "/")
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
	return &Simulator{
		config: c, observer: o, dials: newDialFaults(), stop: make(chan struct{}),
		requests: make(map[protocol.Key]*request), authorizations: make(map[owned]*authorization),
	}, nil
}

// Close releases everything that is held back and waits for it. Later requests are answered with
// unavailable; the ledger can still be read. Closing again does nothing.
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
	r, alive := s.Exchange(ctx, op)
	switch {
	case !alive:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("no answer in time: %v", context.Cause(ctx))}
	case r.Cut:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no answer: connection reset by the gateway"}
	}
	return r.outcome(protocol.Exchange{OperationID: op.ID})
}

// Lookup implements gateway.Gateway.
func (s *Simulator) Lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	if ctx.Err() != nil {
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf("no connection: %v", context.Cause(ctx))}
	}
	return s.Find(protocol.KeyOf(op)).outcome(protocol.Exchange{OperationID: op.ID, Lookup: true})
}

// Reply is an answer or a refusal on its way to the client, as a server needs it.
type Reply struct {
	// One of Answer and Problem is set.
	Answer  *protocol.Answer
	Problem *protocol.Problem
	// RetryAfter is the rest that a problem asks for; 0 asks for none.
	RetryAfter time.Duration
	// Cut says that the connection breaks in the middle of the answer.
	Cut bool

	// delay is the time that the operation takes before the rest of the reply is known.
	delay time.Duration
	// held says that the answer is held back, beaten that it waits until told is closed, if there
	// is told.
	held, beaten bool
	told         <-chan struct{}
}

func (r Reply) outcome(e protocol.Exchange) messages.Outcome {
	if r.Problem != nil {
		return e.Refused(*r.Problem, r.RetryAfter)
	}
	return e.Answered(*r.Answer)
}

func problem(code protocol.Code, format string, args ...any) Reply {
	return Reply{Problem: &protocol.Problem{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// Exchange is a server's part in one request for an operation, apart from the wire; a client uses
// Do. It returns false if ctx, which stands for the client's connection, ended before there was a
// reply. The operation is finished all the same.
func (s *Simulator) Exchange(ctx context.Context, op messages.Operation) (Reply, bool) {
	r := s.begin(op)
	if r.delay > 0 {
		later := make(chan Reply, 1)
		go func() {
			defer s.running.Done()
			later <- s.finish(op, s.pause(context.WithoutCancel(ctx), r.delay))
		}()
		select {
		case r = <-later:
		case <-ctx.Done():
			return Reply{}, false
		}
	}
	if r.held && !s.pause(ctx, s.config.Hang) && ctx.Err() != nil {
		return Reply{}, false
	}
	if r.beaten && r.told != nil && !s.waitTold(ctx, r.told) {
		return Reply{}, false
	}
	return r, true
}

// waitTold holds an answer back until the receiver has its event, and for Lead after that. It
// returns false if the client went away before.
func (s *Simulator) waitTold(ctx context.Context, told <-chan struct{}) bool {
	timer := time.NewTimer(s.config.Hang)
	defer timer.Stop()
	select {
	case <-told:
		s.pause(ctx, s.observer.Lead)
	case <-timer.C:
	case <-s.stop:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// pause waits and reports whether the whole time passed; it ends early when the client goes away or
// the simulator closes.
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

// Ledger returns a copy of the ledger in the order in which things happened.
func (s *Simulator) Ledger() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

// Snapshot returns the ledger with its totals.
func (s *Simulator) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snapshot := Snapshot{
		Entries:    append([]Entry{}, s.entries...),
		Payments:   totals(s.entries),
		Operations: make([]OperationCount, 0, len(s.requests)),
	}
	for key, r := range s.requests {
		snapshot.Operations = append(snapshot.Operations, OperationCount{
			OperationID: key.OperationID, Tenant: key.Tenant, PaymentID: r.operation.PaymentID, Requests: r.requests, Lookups: r.lookups, Effects: r.effects,
		})
	}
	slices.SortFunc(snapshot.Operations, func(a, b OperationCount) int {
		return cmp.Or(cmp.Compare(a.OperationID, b.OperationID), cmp.Compare(a.Tenant, b.Tenant))
	})
	return snapshot
}

// totals sums a ledger by payment, which is a tenant and an id.
func totals(entries []Entry) []PaymentTotals {
	type payment struct {
		tenant string
		id     uuid.UUID
	}
	place := make(map[payment]int)
	sums := []PaymentTotals{}
	for _, e := range entries {
		of := payment{e.Tenant, e.PaymentID}
		i, seen := place[of]
		if !seen {
			i = len(sums)
			place[of] = i
			sums = append(sums, PaymentTotals{PaymentID: e.PaymentID, Tenant: e.Tenant, Currency: e.Currency})
		}
		sums[i].AuthorizedMinor += e.AuthorizedMinor
		sums[i].CapturedMinor += e.CapturedMinor
		sums[i].ReleasedMinor += e.ReleasedMinor
		sums[i].RefundedMinor += e.RefundedMinor
		if e.Reversal {
			sums[i].Reversals++
		} else {
			sums[i].Effects++
		}
	}
	slices.SortFunc(sums, func(a, b PaymentTotals) int {
		return cmp.Or(slices.Compare(a.PaymentID[:], b.PaymentID[:]), cmp.Compare(a.Tenant, b.Tenant))
	})
	return sums
}
