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
	// breakerTimeout bounds the wait for breakers to do what they are for.
	breakerTimeout = 10 * time.Second
	// breakerPoll is how long no report may come before all instances are asked for one.
	breakerPoll = 100 * time.Millisecond
)

// outage takes a gateway away in the middle of the demo and gives it back, and hears on the bus what the breakers in front of
// it do meanwhile. It is used by one goroutine.
type outage struct {
	gateway  *sandboxSimulator
	listener *status.Listener
	heard    map[string][]gateway.Status // by instance
	say      progress
}

// outageReport is what came of an outage.
type outageReport struct {
	Gateway string `json:"gateway"`
	// FailedOver counts the payments that turned to another gateway, and Parked the operations that waited for this one.
	FailedOver int `json:"failed_over"`
	Parked     int `json:"parked"`
	// Breakers are the states through which its breaker went in each instance, in order.
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

// enter prepares what an act is about.
func (o *outage) enter(ctx context.Context, a act) error {
	switch a {
	case actDown:
		if err := o.await(ctx, func() bool { return len(o.heard) == demoInstances }); err != nil {
			return err
		}
		if err := o.gateway.goDown(); err != nil {
			return err
		}
		o.say.done("the gateway %s goes down: nobody listens at %s", o.gateway.name, o.gateway.address)
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

// await hears reports until seen finds in them what it looks for. What does not come in time is for the report to say.
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
			err = o.listener.Ask() // A breaker lets probes through after a while without a word, until somebody looks.
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// catchUp hears how things are now.
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

// breakers returns the states that were heard of, for each instance in the order in which they began: a report on a change may come
// after one on how things are.
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

// opened reports whether a breaker has left the gateway alone.
func (o *outage) opened() bool { return slices.ContainsFunc(o.breakers(), hasOpened) }

// recovered reports whether none leaves it alone any more, and one is sure that it is back.
func (o *outage) recovered() bool {
	all := o.breakers()
	return !slices.ContainsFunc(all, isOpen) && slices.ContainsFunc(all, hasClosedAgain)
}

func hasOpened(states []gateway.State) bool { return slices.Contains(states, gateway.StateOpen) }

func isOpen(states []gateway.State) bool { return states[len(states)-1] == gateway.StateOpen }

func hasClosedAgain(states []gateway.State) bool {
	return hasOpened(states) && states[len(states)-1] == gateway.StateClosed
}

// report says what came of it, over all payments.
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

// examine says what of the breakers is not as expected.
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

// sound reports whether the breakers did what they are for. A nil report is of a demo without an outage.
func (r *outageReport) sound() bool { return r == nil || len(r.Mismatches) == 0 }

// states says for people what the breakers did.
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
