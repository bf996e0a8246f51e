package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
)

const (
	// breakerTimeout bounds the wait for breakers to open and to close.
	breakerTimeout = 10 * time.Second
	// breakerPoll is the time without a report after which all instances are asked for one.
	breakerPoll = 100 * time.Millisecond
)

// outage stops a gateway in the middle of the demo and starts it again, and follows on the bus the
// breakers in front of it. One goroutine uses it.
type outage struct {
	gateway  *sandboxSimulator
	listener *status.Listener
	heard    map[string][]gateway.Status // by instance
	say      progress
}

// outageReport is the result of an outage.
type outageReport struct {
	Gateway string `json:"gateway"`
	// FailedOver counts the payments that failed over, and Parked the operations that waited for
	// this gateway.
	FailedOver int `json:"failed_over"`
	Parked     int `json:"parked"`
	// Breakers holds for each instance the states of its breaker, in order.
	Breakers   [][]gateway.State `json:"breakers"`
	Mismatches []string          `json:"mismatches"`
}

// newOutage begins to listen. Call close when done.
func newOutage(ctx context.Context, nc *nats.Conn, g *sandboxSimulator, say progress) (*outage, error) {
	listener, err := status.Listen(ctx, nc)
	if err != nil {
		return nil, err
	}
	return &outage{gateway: g, listener: listener, heard: map[string][]gateway.Status{}, say: say}, nil
}

func (o *outage) close() error { return o.listener.Close() }

// enter brings about the situation of an act.
func (o *outage) enter(ctx context.Context, a act) error {
	switch a {
	case actDown:
		if err := o.await(ctx, func() bool { return len(o.heard) == demoInstances }); err != nil {
			return err
		}
		if err := o.gateway.goDown(); err != nil {
			return err
		}
		o.say.done("the gateway %s goes down: no server listens at %s", o.gateway.name, o.gateway.address)
	case actBack:
		if err := o.await(ctx, o.opened); err != nil {
			return err
		}
		if err := o.gateway.comeBack(ctx); err != nil {
			return err
		}
		o.say.done("the gateway %s is back", o.gateway.name)
	case actAfter:
		return o.await(ctx, o.recovered)
	case actUp:
	}
	return nil
}

// await receives reports until seen is satisfied, or for breakerTimeout: the final report shows
// what is missing.
func (o *outage) await(ctx context.Context, seen func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, breakerTimeout)
	defer cancel()
	for !seen() {
		err := o.hear(ctx)
		switch {
		case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded):
			err = o.listener.Ask() // a breaker publishes nothing when it begins to let probes through
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// catchUp asks for the current states and receives them.
func (o *outage) catchUp(ctx context.Context) error {
	if err := o.listener.Ask(); err != nil {
		return err
	}
	for {
		err := o.hear(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
	}
}

func (o *outage) hear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, breakerPoll)
	defer cancel()
	r, err := o.listener.Next(ctx)
	if err == nil && r.Gateway == o.gateway.name {
		o.heard[r.Instance] = append(o.heard[r.Instance], r.Status)
	}
	return err
}

// breakers returns the reported states of each instance in the order in which they began: a report
// of a change may arrive after a later report of the state.
func (o *outage) breakers() [][]gateway.State {
	all := [][]gateway.State{}
	for _, instance := range slices.Sorted(maps.Keys(o.heard)) {
		reports := slices.SortedStableFunc(slices.Values(o.heard[instance]), func(x, y gateway.Status) int {
			return x.Since.Compare(y.Since)
		})
		var states []gateway.State
		for _, r := range reports {
			states = append(states, r.State)
		}
		all = append(all, slices.Compact(states))
	}
	return all
}

// opened reports whether a breaker has opened.
func (o *outage) opened() bool { return slices.ContainsFunc(o.breakers(), hasOpened) }

// recovered reports whether no breaker is open any more, and one has closed again.
func (o *outage) recovered() bool {
	all := o.breakers()
	return !slices.ContainsFunc(all, isOpen) && slices.ContainsFunc(all, hasClosedAgain)
}

func hasOpened(states []gateway.State) bool { return slices.Contains(states, gateway.StateOpen) }

func isOpen(states []gateway.State) bool { return states[len(states)-1] == gateway.StateOpen }

func hasClosedAgain(states []gateway.State) bool {
	return hasOpened(states) && states[len(states)-1] == gateway.StateClosed
}

// report returns the result over all payments.
func (o *outage) report(payments []paymentResult) *outageReport {
	r := &outageReport{Gateway: o.gateway.name, Breakers: o.breakers(), Mismatches: []string{}}
	for _, p := range payments {
		for _, st := range p.Steps {
			for _, event := range st.Events {
				switch {
				case event.Reason == messages.FailoverNotSent:
					r.FailedOver++
				case event.Type == messages.EventPaymentParked:
					r.Parked++
				}
			}
		}
	}
	r.examine()
	return r
}

// examine finds the differences from the expected behaviour of the breakers.
func (r *outageReport) examine() {
	mismatch := func(format string, args ...any) { r.Mismatches = append(r.Mismatches, fmt.Sprintf(format, args...)) }
	if got := len(r.Breakers); got != demoInstances {
		mismatch("%d instances told of their breakers, expected %d", got, demoInstances)
	}
	switch {
	case !slices.ContainsFunc(r.Breakers, hasOpened):
		mismatch("no breaker opened: %s", r.states())
	case slices.ContainsFunc(r.Breakers, isOpen), !slices.ContainsFunc(r.Breakers, hasClosedAgain):
		mismatch("a breaker did not close again: %s", r.states())
	}
}

// sound reports whether the breakers behaved as expected. The report is nil in a demo without an
// outage.
func (r *outageReport) sound() bool { return r == nil || len(r.Mismatches) == 0 }

// states describes the states of the breakers.
func (r *outageReport) states() string {
	var all []string
	for i, states := range r.Breakers {
		var words []string
		for _, state := range states {
			words = append(words, string(state))
		}
		all = append(all, fmt.Sprintf("instance %d %s", i+1, strings.Join(words, ", ")))
	}
	return strings.Join(all, "; ")
}
