package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

func TestOutageReportSaysWhatBreakersDidNotDo(t *testing.T) {
	t.Parallel()
	quiet := []gateway.State{gateway.StateClosed}
	opened := []gateway.State{gateway.StateClosed, gateway.StateOpen}
	probing := append(slices.Clone(opened), gateway.StateHalfOpen)
	closedAgain := append(slices.Clone(probing), gateway.StateClosed)
	for name, tt := range map[string]struct {
		breakers [][]gateway.State
		want     string // "" if all is well
	}{
		"both opened and closed again":     {[][]gateway.State{closedAgain, closedAgain}, ""},
		"one never heard of it":            {[][]gateway.State{quiet, closedAgain}, ""},
		"one has had nothing to try since": {[][]gateway.State{probing, closedAgain}, ""},
		"none opened":                      {[][]gateway.State{quiet, quiet}, "no breaker opened: instance 1 closed; instance 2 closed"},
		"one is still open":                {[][]gateway.State{opened, closedAgain}, "a breaker did not close again: instance 1 closed, open; "},
		"none closed again":                {[][]gateway.State{probing, quiet}, "a breaker did not close again"},
		"one is silent":                    {[][]gateway.State{closedAgain}, "1 instances told of their breakers, expected 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &outageReport{Breakers: tt.breakers}
			r.examine()
			if got := strings.Join(r.Mismatches, "\n"); r.sound() != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("it says %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOutageOrdersWhatItHeard(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	reported := func(state gateway.State, second int) gateway.Status {
		return gateway.Status{State: state, Since: begin.Add(time.Duration(second) * time.Second)}
	}
	o := &outage{gateway: &sandboxSimulator{name: demoFirst}, heard: map[string][]gateway.Status{
		// On its way a heartbeat overtook the changes.
		"b": {reported("closed", 0), reported("closed", 3), reported("open", 1), reported("half_open", 2), reported("closed", 3)},
		"a": {reported("closed", 0), reported("closed", 0)},
	}}
	want := [][]gateway.State{{"closed"}, {"closed", "open", "half_open", "closed"}}
	if got := o.breakers(); !slices.EqualFunc(got, want, slices.Equal[[]gateway.State]) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !o.opened() || !o.recovered() {
		t.Errorf("opened: %t, recovered: %t", o.opened(), o.recovered())
	}
	o.heard["b"] = o.heard["b"][:1]
	if o.opened() || o.recovered() {
		t.Errorf("before it: opened: %t, recovered: %t", o.opened(), o.recovered())
	}
	r := o.report([]paymentResult{{Steps: []stepResult{
		{Events: failedOverAnd(messages.EventPaymentCaptured)}, {Events: emitted(messages.EventPaymentParked, messages.EventPaymentCaptured)},
	}}})
	if r.FailedOver != 1 || r.Parked != 1 || r.sound() {
		t.Errorf("the report is %+v", r)
	}
}

func TestStoriesGoOnInTheirActs(t *testing.T) {
	t.Parallel()
	stories, err := cast(outageScenarios())
	if err != nil {
		t.Fatal(err)
	}
	if !outside(stories) {
		t.Error("the outage is not seen")
	}
	taken := map[string][]act{}
	for _, a := range []act{actUp, actDown, actBack, actAfter} {
		for _, told := range stories {
			if !told.in(a) {
				continue
			}
			if !slices.Contains(taken[told.name], a) {
				taken[told.name] = append(taken[told.name], a)
			}
			for len(told.played) < len(told.steps) && told.steps[len(told.played)].act == a {
				told.played = append(told.played, played{step: told.steps[len(told.played)]})
			}
			if parks := told.steps[len(told.steps)-1].parks; told.over(a) != (a == actBack || !parks && len(told.played) == len(told.steps)) {
				t.Errorf("%s is over in act %d: %t", told.name, a, told.over(a))
			}
		}
	}
	for name, want := range map[string][]act{
		"gateway down": {actDown}, "refund parked": {actUp, actDown, actBack}, "capture parked": {actUp, actDown, actBack}, "gateway back": {actAfter},
	} {
		if !slices.Equal(taken[name], want) {
			t.Errorf("%s goes on in the acts %v, want %v", name, taken[name], want)
		}
	}
}
