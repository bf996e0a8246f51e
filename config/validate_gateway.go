package config

import (
	"fmt"
	"regexp"
)

// gatewayName is what a gateway may be called: the name is part of keys, of variables and of recorded payments.
var gatewayName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// connectorName is what a connector may be called: the name is part of subjects (processor/gateway/protocol holds the same).
var connectorName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// rateMin is the lowest rate there is, in calls a second: one in a quarter of an hour.
const rateMin = 0.001

func (c Config) validateGateways(f *findings) {
	if len(c.Gateways) == 0 {
		f.add("gateways", "must name at least one gateway")
	}
	for _, name := range c.names() {
		key := "gateways." + name
		if !gatewayName.MatchString(name) {
			f.add(key, "must be named with a-z, 0-9 and _, beginning with a letter, 40 characters at most")
		}
		c.validateGateway(f, key, c.Gateways[name])
	}
	// With rules the default is of no use, and nobody has to give one; one that was given is still to be right.
	_, given := c.origins["routing.default"]
	if _, exists := c.Gateways[c.Routing.Default]; !exists && (given || c.Routing.RulesFile == "") {
		f.add("routing.default", "must name one of the gateways (%s), not %s", listed(c.names()), quoted(c.Routing.Default))
	}
}

func (c Config) validateGateway(f *findings, key string, g Gateway) {
	among(f, key+".kind", g.Kind, gatewayKinds())
	if g.Kind == GatewaySim && !c.AllowSimulator {
		f.add(key+".kind", "must not be sim, which moves no money, unless allow_simulator is true")
	}
	if g.Kind == GatewayHTTP {
		f.address(key+".url", string(g.URL), "https://gateway.example.com", httpSchemes())
	}
	if g.Kind == GatewayStripe && g.APIKey == "" {
		f.add(key+".api_key", "must be set: Stripe takes no call without one")
	}
	if g.Kind == GatewayStripe && g.URL != "" {
		f.address(key+".url", string(g.URL), "https://api.stripe.com", httpSchemes())
	}
	if g.Kind == GatewayStripe && g.Stripe.ReturnURL != "" {
		f.address(key+".stripe.return_to", g.Stripe.ReturnURL, "https://shop.example.com/return", httpSchemes())
	}
	if g.Connector != "" && !connectorName.MatchString(g.Connector) {
		f.add(key+".connector", "must be named with a-z, 0-9, - and _, beginning with a letter or digit, 64 characters at most, not %s", quoted(g.Connector))
	}
	f.positive(key+".timeouts.authorize", g.Timeouts.Authorize)
	f.positive(key+".timeouts.capture", g.Timeouts.Capture)
	f.positive(key+".timeouts.void", g.Timeouts.Void)
	f.positive(key+".timeouts.refund", g.Timeouts.Refund)
	f.positive(key+".timeouts.lookup", g.Timeouts.Lookup)

	f.within(key+".concurrency_max", g.ConcurrencyMax, 1, 65_536)
	if slots := c.Worker.SlotsMax; len(c.Gateways) > 1 && slots > 0 && g.ConcurrencyMax >= slots {
		f.add(key+".concurrency_max", "must be below worker.slots_max (%d), or this gateway alone could hold every slot; not %d", slots, g.ConcurrencyMax)
	}

	f.positive(key+".queue_wait", g.QueueWait)
	if calls := g.Rate.PerSecond; !(calls == 0 || calls >= rateMin) {
		f.add(key+".rate.per_second", "must be at least %v, or 0 for no limit, not %s", rateMin, fmt.Sprint(calls))
	}
	f.within(key+".rate.burst", g.Rate.Burst, 1, 1_000_000)

	f.within(key+".retry.tries_max", g.Retry.TriesMax, 1, 10)
	f.positive(key+".retry.initial", g.Retry.Initial)
	f.atLeast(key+".retry.max", g.Retry.Max, g.Retry.Initial)
	if longest := g.longestCall(); c.Worker.HandleTimeout > 0 && c.Worker.HandleTimeout < longest {
		f.add("worker.handle_timeout", "must be at least %s, the longest that the timeouts of %s allow, not %s",
			formatDuration(longest), key, formatDuration(c.Worker.HandleTimeout))
	}
	g.Breaker.validate(f, key+".breaker")
}

func (b Breaker) validate(f *findings, key string) {
	if !(b.FailureRatio > 0 && b.FailureRatio <= 1) {
		f.add(key+".failure_ratio", "must be over 0 and at most 1, not %s", fmt.Sprint(b.FailureRatio))
	}
	f.within(key+".requests_min", b.RequestsMin, 1, 1_000_000)
	f.positive(key+".window", b.Window)
	f.positive(key+".open_for", b.OpenFor)
	f.within(key+".probes_max", b.ProbesMax, 1, 10_000)
}
