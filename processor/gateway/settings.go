package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// Settings bound the calls to one gateway. A zero field means the default of [DefaultSettings].
type Settings struct {
	Timeouts Timeouts
	// ConcurrencyMax is the limit on calls under way at once.
	ConcurrencyMax int
	// QueueWait is the longest time that a call waits for a free place and for its turns under
	// Rate, and never more than half of its timeout; then it is reported as not sent. The default
	// of 5 s is half of the default timeouts: with 256 places it takes in a burst of a thousand
	// calls of up to a second each.
	QueueWait time.Duration
	// QueueMax is the limit on calls that wait for a place at once: calls to a gateway that hangs
	// do not hold all of a worker.
	QueueMax int
	Rate     Rate
	Retry    Retry
	Breaker  Breaker
	// Credentials identifies the credentials of the calls; no outcome and no log holds it. Guards
	// of one Set with the same value rest together when the gateway turns the credentials away;
	// "" shares them with no other Guard.
	Credentials string

	// OnStateChange hears of every change of the breaker, in order. It is called while the breaker
	// is locked: it must return quickly and must not call the Guard. Nil hears nothing.
	OnStateChange func(gateway string, from, to State)
	// OnAvailable hears that a gateway answers again after calls had been held back from it: its
	// breaker was open, or it had asked for a rest. It is called once for each recovery, in the
	// goroutine of the call that was answered and outside of all locks. Nil hears nothing.
	OnAvailable func(gateway string)
	// OnPanic hears of a panic in the gateway's code, which the Guard reports as an unknown
	// outcome. Nil hears nothing.
	OnPanic func(gateway string, value any, stack []byte)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Timeouts bound one call by its kind: waiting for a place, connecting, quick tries and the pauses
// between them included.
type Timeouts struct {
	// Authorize also bounds a confirm.
	Authorize time.Duration
	Capture   time.Duration
	Void      time.Duration
	Refund    time.Duration
	Lookup    time.Duration
}

// RateMin is the lowest rate there is, in calls a second: one in a quarter of an hour.
const RateMin = 0.001

// Rate limits the calls of the gateway through one Guard. Every try counts, and every lookup. The
// zero value is no limit.
type Rate struct {
	// PerSecond is the average number of calls in a second, such as 25, or 0.5 for one every other
	// second.
	PerSecond float64
	// PerKind limits the calls of each kind by themselves (authorize, confirm, capture, void,
	// refund, lookups), beside PerSecond: for providers with a limit for each endpoint. 0 is no
	// limit.
	PerKind float64
	// Burst is the number of calls that may be made in one moment after a rest; 0 is 1, which
	// keeps within the provider's limit in any way of counting.
	Burst int
}

// Retry bounds the quick tries inside one call. They are for faults of a moment; a timer retries
// after longer ones.
type Retry struct {
	// TriesMax counts the first try too; 1 means no retry.
	TriesMax int
	// Initial is the first pause, which doubles each time and varies by half either way; Max is the
	// longest.
	Initial time.Duration
	Max     time.Duration
	// Total is the time after the call's start in which another try may begin, so that the last
	// one is left time to be answered.
	Total time.Duration
}

// Breaker tunes the circuit breaker: when it opens, and when it probes the gateway again.
type Breaker struct {
	// FailureRatio is the failed share of the tries in Window that opens the breaker: over 0, at
	// most 1.
	FailureRatio float64
	// RequestsMin is the number of tries that Window must hold before the ratio counts.
	RequestsMin int
	Window      time.Duration
	// OpenFor is the time for which an opened breaker lets nothing through.
	OpenFor time.Duration
	// ProbesMax is the number of tries that it lets through at once after that; when as many in a
	// row succeed, it closes.
	ProbesMax int
}

// DefaultSettings returns the settings of a Guard for the fields that are zero.
func DefaultSettings() Settings {
	return Settings{
		Timeouts: Timeouts{
			Authorize: 10 * time.Second, Capture: 10 * time.Second, Void: 10 * time.Second, Refund: 10 * time.Second,
			Lookup: 5 * time.Second,
		},
		ConcurrencyMax: 256,
		QueueWait:      5 * time.Second,
		QueueMax:       1024,
		Retry:          Retry{TriesMax: 3, Initial: 50 * time.Millisecond, Max: time.Second, Total: 2 * time.Second},
		Breaker: Breaker{
			FailureRatio: 0.5, RequestsMin: 20, Window: 10 * time.Second, OpenFor: 5 * time.Second, ProbesMax: 5,
		},
		Now: time.Now,
	}
}

// withDefaults fills in the fields that are zero.
func (s Settings) withDefaults() Settings {
	d := DefaultSettings()
	s.Timeouts.Authorize = cmp.Or(s.Timeouts.Authorize, d.Timeouts.Authorize)
	s.Timeouts.Capture = cmp.Or(s.Timeouts.Capture, d.Timeouts.Capture)
	s.Timeouts.Void = cmp.Or(s.Timeouts.Void, d.Timeouts.Void)
	s.Timeouts.Refund = cmp.Or(s.Timeouts.Refund, d.Timeouts.Refund)
	s.Timeouts.Lookup = cmp.Or(s.Timeouts.Lookup, d.Timeouts.Lookup)
	s.ConcurrencyMax = cmp.Or(s.ConcurrencyMax, d.ConcurrencyMax)
	s.QueueWait = cmp.Or(s.QueueWait, d.QueueWait)
	s.QueueMax = cmp.Or(s.QueueMax, d.QueueMax)
	s.Rate.Burst = cmp.Or(s.Rate.Burst, 1)
	s.Retry.TriesMax = cmp.Or(s.Retry.TriesMax, d.Retry.TriesMax)
	s.Retry.Initial = cmp.Or(s.Retry.Initial, d.Retry.Initial)
	s.Retry.Max = cmp.Or(s.Retry.Max, d.Retry.Max)
	s.Retry.Total = cmp.Or(s.Retry.Total, d.Retry.Total)
	s.Breaker.FailureRatio = cmp.Or(s.Breaker.FailureRatio, d.Breaker.FailureRatio)
	s.Breaker.RequestsMin = cmp.Or(s.Breaker.RequestsMin, d.Breaker.RequestsMin)
	s.Breaker.Window = cmp.Or(s.Breaker.Window, d.Breaker.Window)
	s.Breaker.OpenFor = cmp.Or(s.Breaker.OpenFor, d.Breaker.OpenFor)
	s.Breaker.ProbesMax = cmp.Or(s.Breaker.ProbesMax, d.Breaker.ProbesMax)
	if s.Now == nil {
		s.Now = d.Now
	}
	return s
}

// validate names every setting that makes no sense.
func (s Settings) validate() error {
	var errs []error
	positive := func(name string, d time.Duration) {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s must be over 0, is %s", name, d))
		}
	}
	counted := func(name string, n int) {
		if n < 1 {
			errs = append(errs, fmt.Errorf("%s must be at least 1, is %d", name, n))
		}
	}
	positive("timeout of authorize", s.Timeouts.Authorize)
	positive("timeout of capture", s.Timeouts.Capture)
	positive("timeout of void", s.Timeouts.Void)
	positive("timeout of refund", s.Timeouts.Refund)
	positive("timeout of lookup", s.Timeouts.Lookup)
	positive("wait for a place", s.QueueWait)
	positive("first pause between tries", s.Retry.Initial)
	positive("longest pause between tries", s.Retry.Max)
	positive("time for quick tries", s.Retry.Total)
	positive("breaker's window", s.Breaker.Window)
	positive("breaker's open time", s.Breaker.OpenFor)
	counted("number of calls at once", s.ConcurrencyMax)
	counted("number of calls in the queue", s.QueueMax)
	counted("burst of calls", s.Rate.Burst)
	counted("number of tries", s.Retry.TriesMax)
	counted("breaker's least number of tries", s.Breaker.RequestsMin)
	counted("breaker's number of probes", s.Breaker.ProbesMax)
	if ratio := s.Breaker.FailureRatio; !(ratio > 0 && ratio <= 1) {
		errs = append(errs, fmt.Errorf("breaker's failure ratio must be over 0 and at most 1, is %v", ratio))
	}
	for _, calls := range []float64{s.Rate.PerSecond, s.Rate.PerKind} {
		if !(calls == 0 || calls >= RateMin) || math.IsInf(calls, 0) {
			errs = append(errs, fmt.Errorf("rate must be at least %v calls a second, or 0 for no limit, is %v", RateMin, calls))
		}
	}
	return errors.Join(errs...)
}

// of returns the timeout of one kind of operation; an unknown kind has none.
func (t Timeouts) of(kind messages.OperationKind) (time.Duration, bool) {
	switch kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		return t.Authorize, true
	case messages.OperationCapture:
		return t.Capture, true
	case messages.OperationVoid:
		return t.Void, true
	case messages.OperationRefund:
		return t.Refund, true
	default:
		return 0, false
	}
}
