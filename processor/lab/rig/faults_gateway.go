package rig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// gatewayFaults befall one of the gateways, or the way to it. What befalls single operations, such as a 500 after charging or a
// reset in the middle of an answer, comes with the payment methods of the load.
func gatewayFaults() []Fault {
	return []Fault{
		{Name: "gateway-down", Class: ClassGateway, Needs: NeedGateways, About: "a gateway is killed and comes back with its ledger", Inject: gatewayDown},
		{
			Name: "gateway-slow", Class: ClassGateway, About: "a gateway takes a few hundred milliseconds more for every answer",
			Inject: gatewayFault(2*time.Second, func(p *faulty.Proxy, on bool) { p.Delay(held(on, 400*time.Millisecond)) }),
		},
		{
			Name: "gateway-hangs", Class: ClassGateway, About: "a gateway takes calls and answers none",
			Inject: gatewayFault(2*time.Second, func(p *faulty.Proxy, on bool) { p.Stall(on) }),
		},
		{Name: "gateway-resets", Class: ClassGateway, About: "connections to a gateway are reset, again and again", Inject: gatewayResets},
		{Name: "gateway-half-late", Class: ClassGateway, About: "half of a gateway's answers come after the caller has given up", Inject: gatewayHalfLate},
	}
}

func held(on bool, d time.Duration) faulty.Latency {
	if on {
		return faulty.Latency{FromServer: d}
	}
	return faulty.Latency{}
}

// delayGateways holds the answers of every gateway to everybody back.
func (l *Lab) delayGateways(d time.Duration) {
	for _, w := range l.ways() {
		for _, proxy := range w.gateways {
			proxy.Delay(faulty.Latency{FromServer: d})
		}
	}
}

func gatewayDown(ctx context.Context, l *Lab, s *Stages) (string, error) {
	gateway := l.simulators[l.random.IntN(len(l.simulators))]
	if err := gateway.kill(); err != nil {
		return gateway.name, err
	}
	s.last(ctx, 3*time.Second)
	return gateway.name, gateway.start(ctx)
}

// gatewayFault does something to every way to one gateway for a while.
func gatewayFault(lasting time.Duration, set func(p *faulty.Proxy, on bool)) func(context.Context, *Lab, *Stages) (string, error) {
	return func(ctx context.Context, l *Lab, s *Stages) (string, error) {
		name := l.anyGateway()
		for _, w := range l.ways() {
			set(w.gateways[name], true)
		}
		s.last(ctx, lasting)
		for _, w := range l.ways() {
			set(w.gateways[name], false)
		}
		return fmt.Sprintf("%s for %s", name, lasting), nil
	}
}

func gatewayResets(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	name := l.anyGateway()
	const times = 15
	for range times {
		for _, w := range l.ways() {
			w.gateways[name].Cut()
		}
		retry.Sleep(ctx, 150*time.Millisecond)
	}
	return fmt.Sprintf("%s, %d times", name, times), nil
}

// gatewayHalfLate holds the answers to every other process back for longer than it waits.
func gatewayHalfLate(ctx context.Context, l *Lab, s *Stages) (string, error) {
	name := l.anyGateway()
	set := func(d time.Duration) {
		for i, w := range l.ways() {
			if i%2 == 0 {
				w.gateways[name].Delay(faulty.Latency{FromServer: d})
			}
		}
	}
	const lasting = 3 * time.Second
	set(CallTimeout + CallTimeout/2)
	s.last(ctx, lasting)
	set(0)
	return fmt.Sprintf("%s for %s", name, lasting), nil
}

func clockFaults() []Fault {
	return []Fault{{
		Name: "clock-jumps", Class: ClassClock,
		About:  "the clock of one worker and scheduler jumps ahead by a day, back by an hour, and to where it should be",
		Inject: clockJumps,
	}}
}

func clockJumps(ctx context.Context, l *Lab, _ *Stages) (string, error) {
	if l.drifter == nil {
		return "", errors.New("no process with a clock of its own was started")
	}
	// The last of them is further than any timer of the lab, and near enough for what it delays to come due within the run.
	for _, jump := range []time.Duration{26 * time.Hour, -time.Hour, 40 * time.Second, 0} {
		l.drifter.jump(jump)
		retry.Sleep(ctx, time.Second)
	}
	return "ahead by 26h, back by 1h, ahead by 40s, right again", nil
}
