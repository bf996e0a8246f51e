package rig

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/faulty"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// gatewayFaults strike one of the gateways, or the connections to it. Faults of single operations,
// such as a 500 after charging or a reset in the middle of an answer, come with the payment
// methods of the load.
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
		{
			Name: "gateway-nasty", Class: ClassGateway,
			About:  "every answer of a gateway is legal, and few are welcome: pending, late, in progress, too many requests, voids refused",
			Inject: gatewayNasty,
		},
	}
}

func held(on bool, d time.Duration) faulty.Latency {
	if on {
		return faulty.Latency{FromServer: d}
	}
	return faulty.Latency{}
}

func gatewayDown(ctx context.Context, r *Rig, s *Stages) (string, error) {
	gateway := r.simulators[r.random.IntN(len(r.simulators))]
	if err := gateway.kill(); err != nil {
		return gateway.name, err
	}
	s.last(ctx, 3*time.Second)
	return gateway.name, gateway.start(ctx)
}

// gatewayFault disturbs every connection to one gateway for a while.
func gatewayFault(lasting time.Duration, set func(p *faulty.Proxy, on bool)) func(context.Context, *Rig, *Stages) (string, error) {
	return func(ctx context.Context, r *Rig, s *Stages) (string, error) {
		name := r.anyGateway()
		for _, w := range r.ways() {
			set(w.gateways[name], true)
		}
		s.last(ctx, lasting)
		for _, w := range r.ways() {
			set(w.gateways[name], false)
		}
		return fmt.Sprintf("%s for %s", name, lasting), nil
	}
}

func gatewayResets(ctx context.Context, r *Rig, _ *Stages) (string, error) {
	name := r.anyGateway()
	const times = 15
	for range times {
		for _, w := range r.ways() {
			w.gateways[name].Cut()
		}
		retry.Sleep(ctx, 150*time.Millisecond)
	}
	return fmt.Sprintf("%s, %d times", name, times), nil
}

// gatewayHalfLate delays the answers to every second process for longer than the process waits.
func gatewayHalfLate(ctx context.Context, r *Rig, s *Stages) (string, error) {
	name := r.anyGateway()
	set := func(d time.Duration) {
		for i, w := range r.ways() {
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

// gatewayNasty leads all calls to one gateway through nasty for a while.
func gatewayNasty(ctx context.Context, r *Rig, s *Stages) (string, error) {
	name := r.anyGateway()
	address := r.gatewayAddrs()[name]
	n, err := startNasty(ctx, address, r.random.IntN)
	if err != nil {
		return name, fmt.Errorf("start a nasty gateway: %w", err)
	}
	lead := func(to string) {
		for _, w := range r.ways() {
			w.gateways[name].SetTarget(to)
			w.gateways[name].Cut() // only new connections take the way
		}
	}
	const lasting = 8 * time.Second
	lead(n.addr())
	s.last(ctx, lasting)
	lead(address)
	return fmt.Sprintf("%s for %s: %v", name, lasting, n.counts()), n.close()
}

// delayGateways delays the answers of every gateway to every process.
func delayGateways(r *Rig, d time.Duration) {
	for _, w := range r.ways() {
		for _, proxy := range w.gateways {
			proxy.Delay(faulty.Latency{FromServer: d})
		}
	}
}
