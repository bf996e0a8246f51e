package main

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// demoInstances is how many instances of every role share the work.
const demoInstances = 2

// The gateways of the demo: the first, which is the configured default; the second, to which payments turn when the first is down;
// and one that tells of its own accord what it did. It has payments of its own, since its word and its answer race each other.
const (
	demoFirst  = "simulator"
	demoSecond = "second"
	demoTeller = "teller"
)

// demoLead is by how much a webhook beats its answer: long enough for a busy machine, and hidden behind the longest timeout.
const demoLead = 3 * time.Second

// demoRules send a payment to the teller if its method asks for that, and let only those turn to the second gateway that the
// outage is about. They are set over the configured ones, as `tender routing set` does.
const demoRules = `version: 1
rules:
  - name: told-by-webhook
    match: {payment_method: sim_webhook_*}
    to: [{gateway: ` + demoTeller + `}]
  - name: with-failover
    match: {metadata: {failover: allowed}}
    to: [{gateway: ` + demoFirst + `}]
    failover: {to: [` + demoSecond + `], on_decline: false}
  - name: everything-else
    to: [{gateway: ` + demoFirst + `}]
`

func demoGateways() []sandboxGateway {
	return []sandboxGateway{{name: demoFirst}, {name: demoSecond}, {name: demoTeller, tells: true, lead: demoLead}}
}

// tuneDemo shortens what a person would wait for: how long an answer may take, how soon an unknown outcome is asked about, and
// how long a gateway is left alone. It stays long enough that a busy machine is not taken for a broken gateway.
func tuneDemo(cfg *config.Config) {
	const timeout = 3 * time.Second
	cfg.NATS.Name = "tender demo"
	simulated := cfg.Gateways[demoFirst]
	simulated.Timeouts = config.Timeouts{Authorize: timeout, Capture: timeout, Void: timeout, Refund: timeout, Lookup: timeout}
	// One success closes it, since the few payments of a demo may not all come by the same instance.
	simulated.Breaker = config.Breaker{FailureRatio: 0.5, RequestsMin: 10, Window: 2 * time.Second, OpenFor: time.Second, ProbesMax: 1}
	for _, g := range demoGateways() {
		cfg.Gateways[g.name] = simulated
	}
	simulated.Timeouts.Authorize += demoLead
	cfg.Gateways[demoTeller] = simulated
	cfg.Retry.UnknownReplays = []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second}
	cfg.Retry.UnknownLookups = []time.Duration{5 * time.Second, 10 * time.Second}
	cfg.Retry.NotSentInitial, cfg.Retry.NotSentMax = 300*time.Millisecond, time.Second
	cfg.Scheduler.PollInterval = 50 * time.Millisecond
}

// setRules puts routing rules over the configured ones.
func (s *sandbox) setRules(ctx context.Context, document string) error {
	rules, err := routing.Parse([]byte(document), gatewayNames(s.config))
	if err != nil {
		return fmt.Errorf("read the routing rules: %w", err)
	}
	nc, err := dialNATS(s.config.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := bus.JetStream(nc, 0)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	if _, err := routing.Replace(ctx, js, []byte(document), 0); err != nil {
		return fmt.Errorf("set %d routing rules: %w", len(rules.All()), err)
	}
	return nil
}
