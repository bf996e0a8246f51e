package rig

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-384b1f8a/tender/processor/retry"
)

// Schedule is when which faults happen: steps one after the other, the faults of a step at once.
type Schedule struct {
	Steps [][]Fault
	// Rest is the time between two steps.
	Rest time.Duration
}

// Plan makes a schedule of the given faults: each alone, in an order that follows from the lab's seed, and then mixed rounds of
// two or three at once, of different classes.
func (l *Lab) Plan(faults []Fault, mixedRounds int) Schedule {
	alone := slices.Clone(faults)
	l.random.Shuffle(len(alone), func(i, j int) { alone[i], alone[j] = alone[j], alone[i] })
	// What changes the ground that others stand on comes last, in the order of the list.
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
		s.Steps = append(s.Steps, l.mix(faults))
	}
	s.Steps = append(s.Steps, last...)
	return s
}

// rank keeps faults that happen alone in the order of the list, behind the others.
func rank(faults []Fault, f Fault) int {
	if !f.Alone {
		return 0
	}
	return 1 + slices.IndexFunc(faults, func(g Fault) bool { return g.Name == f.Name })
}

// mix picks faults of two or three classes.
func (l *Lab) mix(faults []Fault) []Fault {
	var picked []Fault
	want := 2 + l.random.IntN(2)
	for _, i := range l.random.Perm(len(faults)) {
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

// restBetween is long enough that the load is felt again.
const restBetween = 100 * time.Millisecond

// faultTimeout bounds one fault with its repair.
const faultTimeout = 4 * time.Minute

// Run lets the schedule happen, and tells of each fault when it is over. It returns when all is put right, or ctx ends.
func (l *Lab) Run(ctx context.Context, s Schedule, began time.Time, tell func(Injection)) {
	for _, step := range s.Steps {
		if ctx.Err() != nil {
			return
		}
		l.runStep(ctx, step, began, tell)
		retry.Sleep(ctx, s.Rest)
	}
}

func (l *Lab) runStep(ctx context.Context, step []Fault, began time.Time, tell func(Injection)) {
	ctx, cancel := context.WithTimeout(ctx, faultTimeout)
	defer cancel()
	done := make(chan Injection)
	for _, f := range step {
		go func() {
			i := Injection{Fault: f.Name, Class: f.Class, At: l.now().Sub(began), With: others(step, f)}
			stages := &Stages{now: l.now}
			detail, err := f.Inject(ctx, l, stages)
			i.Until, i.Detail = l.now().Sub(began), detail
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
