package config_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/config"
)

// TestEveryMistakeAtOnce loads one file and one environment in which nothing is right.
func TestEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	got := mistakes(t, `
nats: {url: "http://x", user: app, connect_timeout: 0, tls: {cert_file: a.pem}}
postgres: {max_conns: many, min_conns: 99}
roles: [worker, cashier, worker]
worker: {slots_max: -3, ack_wait: 30}
retry: {unknown_replays: [30s, 5s]}
gateways:
  primary: {kind: telepathy, timeouts: {capture: -1s}}
  Second-One: {kind: http, url: "https://b"}
routing: {default: tertiary}
colour: blue
`, "TENDER_LOG_LEVEL=loud", "TENDER_LOG_COLOR=blue", "TENDER_STORE_COMMITTERS=0")
	want := []string{
		"TENDER_LOG_COLOR", "colour", "gateways.Second-One", "gateways.primary.kind", "gateways.primary.timeouts.capture", "log.level",
		"nats.connect_timeout", "nats.password", "nats.tls.key_file", "nats.url", "postgres.max_conns", "postgres.min_conns",
		"retry.unknown_replays", "roles", "roles", "routing.default", "store.committers", "worker.ack_wait", "worker.slots_max",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

// TestMistakes has one row per rule. Each file is right but for the keys named.
func TestMistakes(t *testing.T) {
	t.Parallel()
	const twoGateways = "gateways: {a: {kind: nats%s}, b: {kind: nats}}\nrouting: {default: a}\n"
	one := func(settings string) string {
		return "gateways: {a: {kind: http, url: 'http://a'" + settings + "}}\nrouting: {default: a}\n"
	}
	for _, row := range []struct {
		yaml string
		keys string
	}{
		{"nats: {url: ''}", "nats.url"},
		{"nats: {url: 'nats://'}", "nats.url"},
		{"nats: {url: 'nats://a:0'}", "nats.url"},
		{"nats: {url: 'nats://a:70000'}", "nats.url"},
		{"nats: {url: 'nats://a,http://b'}", "nats.url"},
		{"nats: {url: 'nats://a:4222, tls://b:4222,wss://c'}", ""},
		{"nats: {user: a}", "nats.password"},
		{"nats: {password: a}", "nats.user"},
		{"nats: {password: 0123}", "nats.password"},
		{"nats: {password: \"a\\n\", user: a}", "nats.password nats.password"},
		{"nats: {user: a, password: b, credentials_file: c}", "nats.credentials_file"},
		{"nats: {tls: {key_file: a}}", "nats.tls.cert_file"},
		{"nats: {tls: a.pem}", "nats.tls"},
		{"nats: {name: ''}", "nats.name"},
		{"nats: {name: {first: a}}", "nats.name"},
		{"nats.name: a", "nats.name"},
		{"nats: {name: a, name: b}", "nats.name"},
		{"nats: {1: a}", "nats.1"},
		{"nats: []", "nats"},
		{"streams: {replicas: 2}", "streams.replicas"},
		{"streams: {cmd_max_bytes: -1}", "streams.cmd_max_bytes"},
		{"streams: {cmd_max_bytes: 1e3}", "streams.cmd_max_bytes"},
		{"streams: {cmd_max_bytes: 99999999999999999999}", "streams.cmd_max_bytes"},
		{"streams: {cmd_max_age: -1s}", "streams.cmd_max_age"},
		{"streams: {cmd_max_age: 1m, evt_max_age: 1m, dlq_max_age: 1m}", "streams.cmd_max_age streams.dlq_max_age streams.evt_max_age"},
		{"streams: {duplicates: 0}", "streams.duplicates"},
		{"postgres: {url: 'mysql://a/b'}", "postgres.url"},
		{"postgres: {url: 'host=a password=b'}", "postgres.url"},
		{"postgres: {url: 'postgres:///tender'}", "postgres.url"},
		{"postgres: {url: 'postgres:///tender?host=/run/postgresql'}", ""},
		{"postgres: {url: 'postgres://u@a:5432,b:5433/tender'}", ""},
		{"postgres: {url: 'postgres://[::1]:5432/tender'}", ""},
		{"postgres: {max_conns: 0}", "postgres.max_conns postgres.min_conns store.committers"},
		{"postgres: {min_conns: 21}", "postgres.min_conns"},
		{"postgres: {max_conn_idle: 0, connect_timeout: 0, statement_timeout: 0}", "postgres.connect_timeout postgres.max_conn_idle postgres.statement_timeout"},
		{"roles: []", "roles"},
		{"roles: worker", ""},
		{"roles: {worker: true}", "roles"},
		{"roles: 3", "roles"},
		{"roles: [3]", "roles"},
		{"roles: [cashier]", "roles"},
		{"worker: {slots_max: 0}", "worker.slots_max"},
		{"worker: {slots_max: 1.5}", "worker.slots_max"},
		{"worker: {slots_max: yes}", "worker.slots_max"},
		{"worker: {slots_max: [1]}", "worker.slots_max"},
		{"worker: {ack_wait: 10ms}", "worker.ack_wait"},
		{"worker: {ack_wait: 2020-01-01}", "worker.ack_wait"},
		{"worker: {deliveries_max: 0}", "worker.deliveries_max"},
		{"worker: {patience: -1s}", "worker.patience"},
		{"worker: {patience: 0}", ""},
		{"nats: {inbox_prefix: \"_INBOX.>\"}", "nats.inbox_prefix"},
		{"worker: {handle_timeout: 0}", "worker.handle_timeout"},
		{"worker: {handle_timeout: 9s}", "worker.handle_timeout"},
		{"worker: {handle_timeout: 10s}", ""},
		{"store: {batch_max: 0}", "store.batch_max"},
		{"store: {committers: 20}", "store.committers"},
		{"outbox: {batch_max: 1001}", "outbox.batch_max"},
		{"outbox: {poll_interval: 0}", "outbox.poll_interval"},
		{"scheduler: {batch_max: 0, poll_interval: 0}", "scheduler.batch_max scheduler.poll_interval"},
		{"scheduler: {lease: 250ms}", "scheduler.lease"},
		{"checkpoint: {interval: -1s}", "checkpoint.interval"},
		{"checkpoint: {interval: 0}", ""},
		{"gateways: {}", "gateways routing.default"},
		{"gateways: 3", "gateways"},
		{"gateways: {a: }", "gateways.a.kind routing.default"},
		{"gateways: {a: 3}", "gateways.a gateways.a.kind routing.default"},
		{"gateways: {a: {kind: nats}}", "routing.default"},
		{"gateways: {a: {kind: nats}}\nrouting: {rules_file: r.yaml}", ""},
		{"gateways: {a: {kind: nats}}\nrouting: {rules_file: r.yaml, default: b}", "routing.default"},
		{"gateways: {a: {kind: sim}}\nrouting: {default: a}\n", "gateways.a.kind"},
		{"gateways: {a: {kind: sim}}\nrouting: {default: a}\nallow_simulator: false\n", "gateways.a.kind"},
		{"gateways: {a: {kind: sim}}\nrouting: {default: a}\nallow_simulator: true\n", ""},
		{"allow_simulator: maybe", "allow_simulator"},
		{one(""), ""},
		{one(", kind: x"), "gateways.a.kind"},
		{"gateways: {a: {kind: stripe}}\nrouting: {default: a}\n", "gateways.a.api_key"},
		{"gateways: {a: {kind: stripe, api_key: sk_test_1, stripe: {multicapture: true}}}\nrouting: {default: a}\n", ""},
		{"gateways: {a: {kind: stripe, api_key: sk_test_1, stripe: {return_to: shop}}}\nrouting: {default: a}\n", "gateways.a.stripe.return_to"},
		{"gateways: {a: {kind: nats}}\nrouting: {default: a}\n", ""},
		{"gateways: {a: {kind: nats, connector: bank-2}}\nrouting: {default: a}\n", ""},
		{"gateways: {a: {kind: nats, connector: my.bank}}\nrouting: {default: a}\n", "gateways.a.connector"},
		{one(", connector: '>'"), "gateways.a.connector"},
		{one(", url: 'ftp://a'"), "gateways.a.url"},
		{one(", url: 'https://:80'"), "gateways.a.url"},
		{one(", retries: 1"), "gateways.a.retries"},
		{
			one(", timeouts: {authorize: 0, capture: 0, void: 0, refund: 0, lookup: 0}"),
			"gateways.a.timeouts.authorize gateways.a.timeouts.capture gateways.a.timeouts.lookup gateways.a.timeouts.refund gateways.a.timeouts.void",
		},
		{one(", timeouts: {refund: 61s}"), "worker.handle_timeout"},
		{one(", concurrency_max: 0"), "gateways.a.concurrency_max"},
		{one(", concurrency_max: 600"), ""},
		{fmt.Sprintf(twoGateways, ", concurrency_max: 2048"), "gateways.a.concurrency_max"},
		{fmt.Sprintf(twoGateways, ", concurrency_max: 511"), ""},
		{one(", retry: {tries_max: 0}"), "gateways.a.retry.tries_max"},
		{one(", retry: {initial: 0}"), "gateways.a.retry.initial"},
		{one(", retry: {initial: 2s}"), "gateways.a.retry.max"},
		{one(", queue_wait: 0"), "gateways.a.queue_wait"},
		{one(", rate: {per_second: -1}"), "gateways.a.rate.per_second"},
		{one(", rate: {per_second: 1e-9}"), "gateways.a.rate.per_second"},
		{one(", rate: {per_second: .nan}"), "gateways.a.rate.per_second"},
		{one(", rate: {per_second: many}"), "gateways.a.rate.per_second"},
		{one(", rate: {per_second: 0.5}"), ""},
		{one(", rate: {burst: 0}"), "gateways.a.rate.burst"},
		{one(", breaker: {failure_ratio: 0}"), "gateways.a.breaker.failure_ratio"},
		{one(", breaker: {failure_ratio: 1.01}"), "gateways.a.breaker.failure_ratio"},
		{one(", breaker: {failure_ratio: .nan}"), "gateways.a.breaker.failure_ratio"},
		{one(", breaker: {failure_ratio: half}"), "gateways.a.breaker.failure_ratio"},
		{
			one(", breaker: {requests_min: 0, window: 0, open_for: 0, probes_max: 0}"),
			"gateways.a.breaker.open_for gateways.a.breaker.probes_max gateways.a.breaker.requests_min gateways.a.breaker.window",
		},
		{"retry: {unknown_replays: []}", ""},
		{"retry: {unknown_replays: [0s]}", "retry.unknown_replays"},
		{"retry: {unknown_replays: [5]}", "retry.unknown_replays"},
		{"retry: {unknown_replays: 5m}", "retry.unknown_lookups"},
		{"retry: {unknown_lookups: []}", "retry.unknown_lookups"},
		{"retry: {unknown_lookups: [5m, 5m]}", "retry.unknown_lookups"},
		{"retry: {not_sent_initial: 0}", "retry.not_sent_initial"},
		{"retry: {not_sent_initial: 6m}", "retry.not_sent_max"},
		{"retry: {not_sent_give_up: 4m}", "retry.not_sent_give_up"},
		{"retry: {expiry_warning: -1s, soft_retries: [1m]}", "retry.expiry_warning retry.soft_retries"},
		{"retry: {pending_check: 0, auth_expiry: 0, action_expiry: 0}", "retry.action_expiry retry.auth_expiry retry.pending_check"},
		{"retry: {pending_max: 1s, pending_max_refund: 1s}", "retry.pending_max retry.pending_max_refund"},
		{"shutdown: {drain_timeout: 0}", "shutdown.drain_timeout"},
		{"log: {level: loud, format: xml}", "log.format log.level"},
	} {
		t.Run(row.yaml, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(strings.Fields(row.keys), mistakes(t, row.yaml+"\n"), equalEmpty()); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

// equalEmpty treats no keys and none the same.
func equalEmpty() cmp.Option {
	return cmp.Transformer("sorted", func(keys []string) string { return strings.Join(slices.Sorted(slices.Values(keys)), " ") })
}

func TestValidateAfterAChange(t *testing.T) {
	t.Parallel()
	c := config.Default()
	if err := c.Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	c.Roles = []config.Role{"cashier"}
	c.Routing.Default = "nowhere"
	err := fmt.Errorf("serve: %w", c.Validate())
	if mistake, ok := errors.AsType[*config.KeyError](err); !ok || mistake.Key != "roles" {
		t.Errorf("first mistake = %v", mistake)
	}
	if all := config.KeyErrors(err); len(all) != 2 || all[1].Key != "routing.default" {
		t.Errorf("mistakes behind a wrapped error = %v", all)
	}
	if err := (config.Config{}).Validate(); len(config.KeyErrors(err)) < 20 {
		t.Errorf("the zero value passes with only %v", err)
	}
}

func TestKeyErrorNamesItsPlace(t *testing.T) {
	t.Parallel()
	_, err := config.Load(write(t, "worker:\n  slots_max: -3\n"), []string{"TENDER_STREAMS_REPLICAS=4"})
	var places []config.Origin
	for _, mistake := range config.KeyErrors(err) {
		places = append(places, mistake.Origin)
		if !strings.Contains(mistake.Error(), mistake.Key) || !strings.Contains(mistake.Error(), mistake.Origin.Place) {
			t.Errorf("%q leaves out the key or the place", mistake)
		}
	}
	want := []config.Origin{{Layer: config.LayerEnv, Place: "TENDER_STREAMS_REPLICAS"}, {Layer: config.LayerFile, Place: "tender.yaml:2"}}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}
