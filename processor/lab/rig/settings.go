package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The times of the lab: short enough that a fault and its repair fit into seconds, and long enough for a busy machine.
const (
	// AckWait is how long a worker may be silent about a command.
	AckWait = 3 * time.Second
	// Duplicates is the window in which JetStream remembers message ids. What is published again after it is stored again.
	Duplicates = 5 * time.Second
	// CallTimeout is how long an answer of a gateway may take.
	CallTimeout = time.Second
	// Horizon is beyond every timer that the lab's settings lead to but expiries: what is due later is at rest.
	Horizon = 10 * time.Minute
)

// ownGateways are the names of the lab's own simulators.
func ownGateways() []string { return []string{"primary", "second"} }

// rules send payments to either gateway, and to the other where that is safe.
func (l *Lab) rules() string {
	names := l.gatewayNames()
	first, last := names[0], names[len(names)-1]
	if first == last {
		return fmt.Sprintf("version: 1\nrules:\n  - name: everybody\n    to: [{gateway: %s}]\n", first)
	}
	return fmt.Sprintf(twoGateways, first, last, last, first, first, last)
}

const twoGateways = `version: 1
rules:
  - name: acme
    match: {tenant: acme}
    to: [{gateway: %s}]
    failover: {to: [%s], on_decline: true}
  - name: everybody-else
    to: [{gateway: %s, weight: 3}, {gateway: %s, weight: 1}]
    failover: {to: [%s, %s], on_decline: true}
`

// writeSettings writes the configuration of a member into the lab's folder and returns its path. It holds passwords of private servers.
func (l *Lab) writeSettings(m *Member) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `nats: {url: %q, name: %q, connect_timeout: 1s}
streams: {replicas: %d, duplicates: %s}
postgres: {url: %q, max_conns: %d, min_conns: 1, connect_timeout: 1s, statement_timeout: 10s}
roles: [%s]
worker: {slots_max: %d, ack_wait: %s, deliveries_max: %d, patience: 2s, handle_timeout: 4s}
store: {committers: %d}
outbox: {poll_interval: 100ms}
scheduler: {poll_interval: 100ms, lease: 3s}
shutdown: {drain_timeout: 10s}
log: {level: info, format: console}
`, strings.Join(m.links.natsURLs(l.NATSURL()), ","), m.Name, nodes, Duplicates,
		m.links.postgresURL(l.servingURL), m.connsMax, strings.Join(m.roles, ", "), m.slotsMax, AckWait, deliveriesMax, m.committers())
	b.WriteString(retrySettings)
	routing := filepath.Join(l.dir, m.Name+".routing.yaml") // its own: others read theirs while this one is written
	if err := os.WriteFile(routing, []byte(l.rules()), 0o600); err != nil {
		return "", fmt.Errorf("write the routing rules: %w", err)
	}
	fmt.Fprintf(&b, "routing: {default: %s, rules_file: %q}\n", l.gatewayNames()[0], routing)
	fmt.Fprintf(&b, "webhook: {listen: %q}\n", l.webhookAddr)
	b.WriteString("gateways:\n")
	for _, name := range l.gatewayNames() {
		fmt.Fprintf(&b, gatewaySettings, name, "http://"+m.links.gateways[name].Addr(), webhookSecret,
			CallTimeout, CallTimeout, CallTimeout, CallTimeout, CallTimeout)
	}
	path := filepath.Join(l.dir, m.Name+".yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("write settings of %s: %w", m.Name, err)
	}
	return path, nil
}

const (
	// deliveriesMax leaves room for the many faults that one unlucky command may meet.
	deliveriesMax = 40
	webhookSecret = "whsec_lab" // signs what the lab's own simulators say
)

const retrySettings = `retry:
  unknown_replays: [300ms, 1s, 3s, 6s]
  unknown_lookups: [8s, 12s, 18s, 27s]
  not_sent_initial: 200ms
  not_sent_max: 2s
  not_sent_give_up: 10m
  pending_check: 2s
`

const gatewaySettings = `  %s:
    kind: http
    url: %q
    webhook_secret: %q
    timeouts: {authorize: %s, capture: %s, void: %s, refund: %s, lookup: %s}
    concurrency_max: 24
    retry: {tries_max: 2, initial: 20ms, max: 100ms}
    breaker: {failure_ratio: 0.9, requests_min: 50, window: 2s, open_for: 300ms, probes_max: 5}
`
