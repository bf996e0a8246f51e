package simulation

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/delivery"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Options tune a run. The zero value of a field means its default.
type Options struct {
	// EffectsMax is the number of effects after which a run counts as one that does not end;
	// default 20,000.
	EffectsMax int
	// Trace takes a line for each thing that happens; nil takes none, which is faster.
	Trace func(line string)
}

// Result is what a run came to.
type Result struct {
	Seed uint64
	// Effects counts the effects of deliveries: loads, commits, calls, waits, moved timers, ends.
	Effects int
	// Hash is over all effects and all that was committed.
	Hash uint64
	// Took is the virtual time from the first command to rest.
	Took time.Duration
	// Figures count what happened, by name.
	Figures map[string]int
}

// FindingError is an invariant that did not hold.
type FindingError struct {
	Seed uint64 `json:"seed"`
	// Step is the number of the effect after which the invariant did not hold.
	Step int `json:"step"`
	// Invariant names it, and Detail says what was seen.
	Invariant string `json:"invariant"`
	Detail    string `json:"detail"`
}

// Error implements error.
func (f *FindingError) Error() string {
	return fmt.Sprintf("seed %d, step %d: %s: %s", f.Seed, f.Step, f.Invariant, f.Detail)
}

// began is the moment at which every world begins.
func began() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// restMax is the virtual time within which every run has to come to rest: the retries of soft
// declines, the life of an authorization, the time for which a gateway may process, and the ladder
// of an unknown outcome, one after the other.
const restMax = 120 * 24 * time.Hour

// Run simulates one seed until nothing is left to happen. The error is a *FindingError if an
// invariant did not hold:
//
//   - what a gateway moved by an operation is booked, in excess or given back, as soon as Tender
//     has heard of it, unless a person has to look;
//   - no operation has two effects at a gateway, and no two authorizations of a payment hold money
//     without a review;
//   - no call that may move money goes out while another authorization may move the money, or while
//     a person has to look at the payment;
//   - the limits hold, and the history folds into the state;
//   - everything ends, and what is left waits for a person, a customer or a producer.
//
// What a database lost when it was restored to an earlier moment, and what an operator resolved
// wrongly, excuses a difference of money, and nothing else.
func Run(seed uint64, opts Options) (Result, error) {
	if opts.EffectsMax == 0 {
		opts.EffectsMax = 20_000
	}
	w := newWorld(seed, opts)
	w.begin()
	for len(w.events) > 0 && w.finding == nil {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.happen()
		switch {
		case w.effects > opts.EffectsMax:
			w.fail("everything ends", "more than %d effects", opts.EffectsMax)
		case w.now.Sub(began()) > restMax:
			w.fail("everything ends", "not at rest after %s: %s", restMax, w.open())
		}
	}
	if w.finding == nil {
		w.checkRest()
	}
	r := Result{Seed: seed, Effects: w.effects, Hash: w.hash, Took: w.now.Sub(began()), Figures: w.figures}
	if w.finding != nil {
		return r, w.finding
	}
	return r, nil
}

// world is everything around the payments of one run.
type world struct {
	seed    uint64
	opts    Options
	rng     *rand.Rand
	now     time.Time
	events  queue
	seq     uint64
	effects int
	hash    uint64
	finding *FindingError
	figures map[string]int

	profile  profile
	cfg      delivery.Config
	store    *store
	bus      *bus
	gateways []*gateway
	subjects []*subject
}

// subject is one payment with the truth about it.
type subject struct {
	id uuid.UUID
	// excuse says why a difference of money is excused; "" if it is not.
	excuse string
	// lost means that the database lost a part of the history.
	lost bool
	// unheard counts the notifications that Tender has to take in and has not.
	unheard int
	// flights counts the deliveries with a call whose answer has not been taken in.
	flights int
	// reviewed means that a review was opened at some time.
	reviewed bool
	accounts []*account
	// visits counts what operators did.
	visits  int
	visitor bool
}

func newWorld(seed uint64, opts Options) *world {
	w := &world{
		seed: seed, opts: opts, now: began(), figures: map[string]int{},
		rng: rand.New(rand.NewPCG(seed, 0x7e4de7)), //nolint:gosec // repeatable, and no secret
	}
	w.profile = newProfile(w)
	w.store, w.bus = newStore(w), newBus(w)
	for _, name := range []string{"first", "second", "third"} {
		w.gateways = append(w.gateways, newGateway(w, name))
	}
	w.cfg = delivery.Config{
		Policy: payment.DefaultPolicy(), Patience: 2 * time.Second, Route: w.route, Retryable: retryable,
	}
	return w
}

// event is one thing that will happen.
type event struct {
	at     time.Time
	seq    uint64
	happen func()
}

// queue orders events by time, and by their order of origin within it.
type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].seq < q[j].seq
	}
	return q[i].at.Before(q[j].at)
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(event)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = event{}
	*q = (*q)[:last]
	return e
}

func (w *world) after(d time.Duration, happen func()) { w.at(w.now.Add(d), happen) }

func (w *world) at(t time.Time, happen func()) {
	if t.Before(w.now) {
		t = w.now
	}
	w.seq++
	heap.Push(&w.events, event{t, w.seq, happen})
}

// odds is true in so many of a thousand cases.
func (w *world) odds(perMille int) bool { return perMille > 0 && w.rng.IntN(1000) < perMille }

// faulty is odds for a fault of a process, the store or the bus. These end after some time.
func (w *world) faulty(perMille int) bool {
	return w.now.Sub(began()) < faultsEnd && w.odds(perMille)
}

// faultsEnd is when the faults end that gateways and people have no part in.
const faultsEnd = 320 * time.Hour

// between returns a duration from lo to hi, small ones as likely as large ones by order of
// magnitude.
func (w *world) between(lo, hi time.Duration) time.Duration {
	steps := 0
	for d := lo; d < hi; d *= 2 {
		steps++
	}
	d := lo << w.rng.IntN(steps+1)
	return min(hi, d/2+time.Duration(w.rng.Int64N(int64(d))))
}

func (w *world) fail(invariant, format string, args ...any) {
	if w.finding == nil {
		w.finding = &FindingError{Seed: w.seed, Step: w.effects, Invariant: invariant, Detail: fmt.Sprintf(format, args...)}
		w.trace("FINDING %s: %s", invariant, w.finding.Detail)
	}
}

func (w *world) trace(format string, args ...any) {
	if w.opts.Trace != nil {
		w.opts.Trace(fmt.Sprintf("%6d %14s  ", w.effects, w.now.Sub(began()).Round(time.Millisecond)) + fmt.Sprintf(format, args...))
	}
}

// mix adds to the hash of the run.
func (w *world) mix(what string, n int64) {
	h := fnv.New64a()
	var b [24]byte
	for i := range 8 {
		b[i] = byte(w.hash >> (8 * i))              //nolint:gosec // G115: only the bits matter
		b[8+i] = byte(n >> (8 * i))                 //nolint:gosec // G115: likewise
		b[16+i] = byte(w.now.UnixNano() >> (8 * i)) //nolint:gosec // G115: likewise
	}
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte(what))
	w.hash = h.Sum64()
}

func (w *world) count(what string) { w.figures[what]++ }

func (w *world) subject(id uuid.UUID) *subject {
	for _, s := range w.subjects {
		if s.id == id {
			return s
		}
	}
	panic("simulation: no payment " + id.String())
}
