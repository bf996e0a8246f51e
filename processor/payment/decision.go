package payment

import (
	"hash/fnv"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// Policy holds the times that decisions depend on.
type Policy struct {
	// UnknownReplays are the ages of an unknown outcome at which the operation is sent again under
	// its own key.
	UnknownReplays []time.Duration
	// ReplayWithin is how long after its first attempt an operation may be sent again under its own
	// key. Gateways forget keys (Stripe after 24 hours), and a forgotten one charges anew; from
	// then on the gateway is only asked.
	ReplayWithin time.Duration
	// UnknownLookups are the ages at which the gateway is asked instead; after the last one a
	// person is.
	UnknownLookups []time.Duration
	// NotSentInitial doubles with each attempt up to NotSentMax, until NotSentGiveUp after the
	// first.
	NotSentInitial, NotSentMax, NotSentGiveUp time.Duration
	// PendingCheck is the time after which a gateway is first asked about what it finishes later.
	// It doubles with each question, up to half a day.
	PendingCheck time.Duration
	// PendingMax is the time in which a gateway has to finish what it took, by the kind of
	// operation; after it a person is asked. A kind that is missing has PendingMaxOther.
	PendingMax      map[messages.OperationKind]time.Duration
	PendingMaxOther time.Duration
	// LocalWait is the time for which an authorization waits for a free place in this process
	// before another gateway may take it.
	LocalWait time.Duration
	// AuthorizationExpiry is how long an authorization lasts when the gateway doesn't say.
	AuthorizationExpiry time.Duration
	// ExpiryWarning is how long before an authorization lapses to warn of it; 0 is never.
	ExpiryWarning time.Duration
	// SoftRetries are the waits before the attempts that a producer asked for after soft declines,
	// where the gateway gives no advice; the last one repeats.
	SoftRetries []time.Duration
	// ActionExpiry is how long a payment waits for the customer.
	ActionExpiry time.Duration
	// SentStale is the age at which a sent operation without an answer is taken up by any worker.
	// It must be longer than a worker may take.
	SentStale time.Duration
}

// DefaultPolicy returns the intervals of the design: replay after 5 s, 30 s, 2 min; look up after 5
// min, 1 h, 6 h, 24 h.
func DefaultPolicy() Policy {
	return Policy{
		ReplayWithin:   23 * time.Hour,
		UnknownReplays: []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute},
		UnknownLookups: []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour},
		NotSentInitial: time.Second, NotSentMax: 5 * time.Minute, NotSentGiveUp: time.Hour,
		PendingCheck:        time.Minute,
		PendingMax:          map[messages.OperationKind]time.Duration{messages.OperationRefund: 14 * 24 * time.Hour},
		PendingMaxOther:     7 * 24 * time.Hour,
		LocalWait:           10 * time.Second,
		AuthorizationExpiry: 7 * 24 * time.Hour,
		ExpiryWarning:       24 * time.Hour,
		SoftRetries:         []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour},
		ActionExpiry:        24 * time.Hour,
		SentStale:           5 * time.Minute,
	}
}

// pendingMax returns the time in which a gateway has to finish an operation that it took.
func (p Policy) pendingMax(kind messages.OperationKind) time.Duration {
	if limit, ok := p.PendingMax[kind]; ok {
		return limit
	}
	return p.PendingMaxOther
}

// unknownRung returns the age at which check number n of an unknown outcome is due; false when the
// ladder ends.
func (p Policy) unknownRung(n int) (time.Duration, bool) {
	if n < len(p.UnknownReplays) {
		return p.UnknownReplays[n], true
	}
	if n -= len(p.UnknownReplays); n < len(p.UnknownLookups) {
		return p.UnknownLookups[n], true
	}
	return 0, false
}

// notSentDelay is the wait before the next attempt: as long as the outage has lasted for this
// operation, which doubles it each time, or as long as the gateway asks for. It is up to a quarter
// longer, so that many payments parked by one outage don't come back in one moment. The spread
// depends on the operation, not on chance.
//
// A gateway that is back brings its parked payments back before that: see messages.Resume.Now. A
// refusal that is about this operation alone, or about this process, says nothing of an outage and
// does not double.
func (p Policy) notSentDelay(op *Operation, now time.Time, outcome messages.Outcome) time.Duration {
	delay := p.NotSentInitial
	brief := outcome.Rest == messages.RestLocal || outcome.Rest == messages.RestOperation
	if !op.NotSentSince.IsZero() && !brief {
		delay = min(max(delay, now.Sub(op.NotSentSince)), p.NotSentMax)
	}
	delay = max(delay, outcome.RetryAfter)
	h := fnv.New32a()
	_, _ = h.Write([]byte(op.ID))
	return delay + delay*time.Duration(h.Sum32()%256)/1024
}

// Route is the gateway chosen for a new authorization, and the rule that chose it.
type Route struct {
	Gateway string
	Rule    string
	// Fallbacks are the gateways to turn to, in this order, when it is proven that an authorization
	// did not reach the one before.
	Fallbacks []string
	// FailoverOnDecline turns to them after a soft decline as well.
	FailoverOnDecline bool
}

// Env is everything a decision depends on besides the payment and the command.
type Env struct {
	Now    time.Time
	Policy Policy
	// Route chooses the gateway for a new authorization. It is asked only by a decision that
	// authorizes, and answers the same each time. Nil, like the zero Route, means that no gateway
	// takes the payment.
	Route func() Route
	// Asked are the operations that this delivery has asked about to no avail.
	Asked Asked
}

// route is what Route answers.
func (e Env) route() Route {
	if e.Route == nil {
		return Route{}
	}
	return e.Route()
}

// Call is one question to a gateway, asked after the decision's events are committed.
type Call struct {
	Operation messages.Operation
	// Lookup asks what became of the operation instead of making it.
	Lookup bool
	// Behalf is the void that the gateway refused and on whose behalf its authorization is looked
	// up; "" if the operation is looked up for itself.
	Behalf string
}

// Again is a question to be asked again.
type Again struct {
	OperationID string
	At          time.Time
}

// Decision is what follows from a command or an outcome.
type Decision struct {
	// Payment is the state after Events.
	Payment *Payment
	// Events are to be appended to the history, in order; empty if nothing happened.
	Events []messages.Event
	// Call is to be made once the events are committed, before anything else is decided; nil if
	// there is nothing to ask.
	Call *Call
	// Again is set by an answer that changed nothing: the operation and when to ask about it again.
	// It is not recorded; the caller notes it in Env.Asked and moves the payment's timer.
	Again *Again
	// Refusal is set if the command was refused; it is the last of Events.
	Refusal *messages.CommandRejected
}

// OperationID is the operation that the decision started, "" if it started none: a lookup starts
// none.
func (d *Decision) OperationID() string {
	if d.Call == nil || d.Call.Lookup {
		return ""
	}
	return d.Call.Operation.ID
}

// TooEarly reports whether the refusal may turn into acceptance by itself within moments: the
// payment's own create may not have been handled yet, or another operation may be about to settle.
func (d *Decision) TooEarly() bool {
	return d.Refusal != nil &&
		(d.Refusal.Code == messages.RejectPaymentNotFound || d.Refusal.Code == messages.RejectOperationInProgress)
}

// micros rounds to what PostgreSQL and the event's own form can hold, so that folding gives back
// the same instant.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
