package main

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/cmd/internal/app"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// demoInstances is the number of instances of every role.
const demoInstances = 2

// The gateways of the demo: the first is the configured default; payments fail over to the second
// when the first is down; the teller sends webhooks. The teller has its own payments, since its
// webhook and its answer race.
const (
	demoFirst  = "simulator"
	demoSecond = "second"
	demoTeller = "teller"
)

// demoLead is the time by which a webhook precedes its answer: long enough for a busy machine, and
// shorter than the longest timeout of the demo.
const demoLead = 3 * time.Second

// demoRules route a payment to the teller by its payment method, and permit failover to the second
// gateway only for the payments of the outage. They replace the configured rules, as those of
// `tender routing set` do.
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

// tuneDemo shortens the times that a person would wait for: the timeouts of calls, the delays
// before questions about an unknown outcome, and the time for which a breaker stays open. They
// remain long enough that a busy machine does not look like a broken gateway.
func tuneDemo(cfg *config.Config) {
	const timeout = 3 * time.Second
	cfg.NATS.Name = "tenderlab demo"
	simulated := cfg.Gateways[demoFirst]
	simulated.Tokens = demoFirst // The simulators know the same test cards.
	simulated.Timeouts = config.Timeouts{Authorize: timeout, Capture: timeout, Void: timeout, Refund: timeout, Lookup: timeout}
	// One success closes it, since the few payments of a demo may go to different instances.
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

// setRules replaces the configured routing rules.
func setRules(ctx context.Context, cfg config.Config, document string) error {
	rules, err := routing.Parse([]byte(document), app.Gateways(cfg))
	if err != nil {
		return fmt.Errorf("read the routing rules: %w", err)
	}
	nc, err := app.DialNATS(cfg.NATS)
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
