package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

// Class names the part that a fault strikes. Faults of different classes may happen at once.
type Class string

// The classes of faults.
const (
	ClassWorker   Class = "worker"
	ClassRelay    Class = "relay"
	ClassNATS     Class = "nats"
	ClassPostgres Class = "postgresql"
	ClassGateway  Class = "gateway"
	ClassClock    Class = "clock"
)

// Need is a set of parts that the rig must own for a fault. No fault strikes servers that were
// given.
type Need int

// The needs, to be combined.
const (
	NeedNATS Need = 1 << iota
	NeedPostgres
	NeedGateways
	// NeedSmallDisk is a file system that can be filled.
	NeedSmallDisk
)

// Fault is one way to break the system.
type Fault struct {
	// Name consists of words with hyphens.
	Name string
	// About describes the fault in one line.
	About string
	Class Class
	Needs Need
	// Alone keeps the fault from being mixed with others: it stops the system, or replaces a part
	// that the others depend on.
	Alone bool
	// Inject brings the fault about and repairs it. detail tells the part that was struck. An
	// error means that the fault could not be brought about or repaired.
	Inject func(ctx context.Context, r *Rig, s *Stages) (detail string, err error)
}

// Faults lists every fault, in the order in which a payment meets the parts.
func Faults() []Fault {
	var all []Fault
	for _, of := range [][]Fault{workerFaults(), relayFaults(), natsFaults(), streamFaults(), postgresFaults(), gatewayFaults(), clockFaults()} {
		all = append(all, of...)
	}
	return all
}

// Possible splits faults into those that this rig can bring about and the names of the others.
func (r *Rig) Possible(ctx context.Context, faults []Fault) (possible []Fault, impossible []string) {
	strangers := r.options.Given != nil && !r.relays(ctx)
	for _, f := range faults {
		if f.Needs&^r.owns() != 0 || strangers && f.Class == ClassRelay {
			impossible = append(impossible, f.Name)
		} else {
			possible = append(possible, f)
		}
	}
	return possible, impossible
}

// owns returns the needs that this rig meets.
func (r *Rig) owns() Need {
	owned := NeedNATS | NeedPostgres | NeedGateways
	if r.options.Given != nil {
		owned = 0
	}
	if r.smallDisk {
		owned |= NeedSmallDisk
	}
	return owned
}

// relays reports whether the relay at work is a process of this rig.
func (r *Rig) relays(ctx context.Context) bool {
	_, err := relayAtWork(ctx, r)
	return err == nil
}

// Schedule is a list of steps that run one after the other. The faults of one step happen at once.
type Schedule struct {
	Steps [][]Fault
	// Rest is the time between two steps.
	Rest time.Duration
}

// Plan makes a schedule of the given faults: each fault alone, in an order determined by the seed,
// then mixed rounds of two or three faults of different classes at once.
func (r *Rig) Plan(faults []Fault, mixedRounds int) Schedule {
	alone := slices.Clone(faults)
	r.random.Shuffle(len(alone), func(i, j int) { alone[i], alone[j] = alone[j], alone[i] })
	// Faults that replace a part on which others depend come last, in the order of the list.
	slices.SortStableFunc(alone, func(a, b Fault) int { return rank(faults, a) - rank(faults, b) })
	s := Schedule{Rest: restBetween}
	var last [][]Fault
	for _, f := range alone {
		if f.Alone {
			last = append(last, []Fault{f})
		} else {
			s.Steps = append(s.Steps, []Fault{f})
		}
	}
	for range mixedRounds {
		s.Steps = append(s.Steps, r.mix(faults))
	}
	s.Steps = append(s.Steps, last...)
	return s
}

// rank puts faults that happen alone behind the others, in the order of the list.
func rank(faults []Fault, f Fault) int {
	if !f.Alone {
		return 0
	}
	return 1 + slices.IndexFunc(faults, func(g Fault) bool { return g.Name == f.Name })
}

// mix picks faults of two or three classes.
func (r *Rig) mix(faults []Fault) []Fault {
	var picked []Fault
	want := 2 + r.random.IntN(2)
	for _, i := range r.random.Perm(len(faults)) {
		f := faults[i]
		taken := slices.ContainsFunc(picked, func(p Fault) bool { return p.Class == f.Class })
		if f.Alone || taken {
			continue
		}
		if picked = append(picked, f); len(picked) == want {
			break
		}
	}
	return picked
}

// restBetween is the pause between two steps: long enough for the load to reach every part again.
const restBetween = 100 * time.Millisecond

// faultTimeout bounds one fault together with its repair.
const faultTimeout = 4 * time.Minute

// Run injects the faults of the schedule and calls tell at the end of each. It returns when all
// are repaired, or when ctx ends.
func (r *Rig) Run(ctx context.Context, s Schedule, began time.Time, tell func(Injection)) {
	for _, step := range s.Steps {
		if ctx.Err() != nil {
			return
		}
		r.runStep(ctx, step, began, tell)
		retry.Sleep(ctx, s.Rest)
	}
}

func (r *Rig) runStep(ctx context.Context, step []Fault, began time.Time, tell func(Injection)) {
	ctx, cancel := context.WithTimeout(ctx, faultTimeout)
	defer cancel()
	done := make(chan Injection)
	for _, f := range step {
		go func() {
			i := Injection{Fault: f.Name, Class: f.Class, At: r.now().Sub(began), With: others(step, f)}
			stages := &Stages{now: r.now}
			detail, err := f.Inject(ctx, r, stages)
			i.Until, i.Detail = r.now().Sub(began), detail
			stages.write(&i, began)
			if err != nil {
				i.Problem = fmt.Sprintf("%s: %v", f.Name, err)
			}
			done <- i
		}()
	}
	for range step {
		tell(<-done)
	}
}

func others(step []Fault, f Fault) []string {
	var names []string
	for _, other := range step {
		if other.Name != f.Name {
			names = append(names, other.Name)
		}
	}
	return names
}

// Injection is one fault as it happened.
type Injection struct {
	Fault string `json:"fault"`
	Class Class  `json:"class"`
	// At and Until count from the start of the run.
	At    time.Duration `json:"at_ns"`
	Until time.Duration `json:"until_ns"`
	// Struck is the time at which the fault was brought about. Healed is the time at which its
	// cause was gone; from then to Until the system recovered.
	Struck time.Duration `json:"struck_ns"`
	Healed time.Duration `json:"healed_ns"`
	// With lists the faults that happened at the same time.
	With   []string `json:"with,omitempty"`
	Detail string   `json:"detail"`
	// Problem is the reason why the fault could not be brought about or repaired; "" means
	// success.
	Problem string `json:"problem,omitempty"`
}

// Stages record two times of one fault: it strikes, and later its cause is gone. The rest is the
// recovery of the system, as far as the fault waits for it. Without a record, a fault strikes at
// its beginning and heals at its end.
type Stages struct {
	now func() time.Time

	mu             sync.Mutex
	struck, healed time.Time
}

// strikes records that the fault is brought about. Of several calls the first counts.
func (s *Stages) strikes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.struck.IsZero() {
		s.struck = s.now()
	}
}

// heals records that the cause is gone. Of several calls the last counts.
func (s *Stages) heals() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = s.now()
}

// last keeps the fault up for a time, or until ctx ends. It records both stages.
func (s *Stages) last(ctx context.Context, lasting time.Duration) {
	s.strikes()
	retry.Sleep(ctx, lasting)
	s.heals()
}

// write copies the times into an injection whose At and Until are set.
func (s *Stages) write(i *Injection, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i.Struck, i.Healed = i.At, i.Until
	if !s.struck.IsZero() {
		i.Struck = s.struck.Sub(began)
	}
	if !s.healed.IsZero() {
		i.Healed = max(i.Struck, s.healed.Sub(began))
	}
}

// dice makes random choices for several goroutines.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64) *dice {
	return &dice{r: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // G404: choices that a seed repeats
}

func (d *dice) IntN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) Perm(n int) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Perm(n)
}

func (d *dice) Shuffle(n int, swap func(i, j int)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.r.Shuffle(n, swap)
}
