package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// small is a measurement of a few payments.
func small(adjust ...func(*options)) options {
	o := options{
		Payments: 60, Handlers: 8, Connections: 4, Outboxes: 2, Batch: 10, Poll: 5 * time.Millisecond, Schema: schemaDefault, Pipeline: true,
	}
	for _, f := range adjust {
		f(&o)
	}
	return o
}

func TestEveryWayIsCorrect(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"pipeline":   small(),
		"four trips": small(func(o *options) { o.Pipeline = false }),
		"queue":      small(func(o *options) { o.Schema = schemaQueue }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := runOn(t.Context(), servers.NATS(t).URL(), servers.Database(t), o)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Checked || r.Events != 180 || r.PaymentsPerSecond <= 0 {
				t.Errorf("result %+v", r)
			}
		})
	}
}

// bench is a system that is assembled and does not run.
type bench struct {
	*system
	worker *worker
	js     jetstream.JetStream
}

func newBench(t *testing.T, o options) *bench {
	t.Helper()
	url := servers.NATS(t).URL()
	bus, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	js, err := jetstream.New(bus)
	if err != nil {
		t.Fatal(err)
	}
	if err := provision(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	s, err := assemble(t.Context(), url, servers.Database(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return &bench{system: s, js: js, worker: &worker{pool: s.handlers, outbox: newOutbox(o), gateway: s.gateway, guarded: guarded()}}
}

func command(t *testing.T, key string) *message.Message {
	t.Helper()
	body, err := json.Marshal(createCommand{PaymentID: newID(), IdempotencyKey: key, AmountMinor: 10000, Currency: "USD"})
	if err != nil {
		t.Fatal(err)
	}
	return message.NewMessage(key, body)
}

func (b *bench) count(t *testing.T, sql string) (n int) {
	t.Helper()
	if err := b.handlers.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRedeliveredCommandChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	cmd := command(t, "order-1")
	for range 2 {
		if err := b.worker.handle(cmd); err != nil {
			t.Fatal(err)
		}
	}
	if events, calls := b.count(t, `SELECT count(*) FROM payment_events`), b.gateway.calls; events != 3 || calls != 1 {
		t.Errorf("%d events and %d calls of the gateway, not 3 and 1", events, calls)
	}
}

func TestInterruptedPaymentIsFinished(t *testing.T) {
	t.Parallel()
	b := newBench(t, small())
	cmd := command(t, "order-1")
	var c createCommand
	if err := json.Unmarshal(cmd.Payload, &c); err != nil {
		t.Fatal(err)
	}
	if _, err := b.worker.begin(t.Context(), c, cmd.Payload); err != nil {
		t.Fatal(err)
	}
	if err := b.worker.handle(cmd); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, `SELECT count(*) FROM payments WHERE status = 'captured' AND version = 3`); n != 1 {
		t.Errorf("%d payments are captured, not 1", n)
	}
}

func TestCheckNotices(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*bench) error{
		"the database has 5 events, not 6": func(b *bench) error {
			_, err := b.handlers.Exec(t.Context(), `DELETE FROM payment_events WHERE ctid = (SELECT min(ctid) FROM payment_events)`)
			return err
		},
		"the database has 1 captured payments, not 2": func(b *bench) error {
			_, err := b.handlers.Exec(t.Context(), `UPDATE payments SET captured_minor = 1 WHERE ctid = (SELECT min(ctid) FROM payments)`)
			return err
		},
		"the gateway has 3 charges of 2 payments": func(b *bench) error {
			for _, id := range b.gateway.charges {
				b.gateway.charge("again", id)
				break
			}
			return nil
		},
		"6 events are stored and 7 are on the bus": func(b *bench) error {
			_, err := b.js.PublishMsg(t.Context(), &nats.Msg{Subject: topicEvents, Header: nats.Header{"ce-id": {"another"}}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, small(func(o *options) { o.Payments = 2 }))
			if err := publishCommands(t.Context(), b.js, 2); err != nil {
				t.Fatal(err)
			}
			_, err := b.run(t.Context(), func(ctx context.Context) (time.Time, error) { return awaitEvents(ctx, b.js, 6) })
			if err != nil {
				t.Fatal(err)
			}
			if err := check(t.Context(), b.js, b.system); err != nil {
				t.Fatalf("before the damage: %v", err)
			}
			if err := damage(b); err != nil {
				t.Fatal(err)
			}
			if err := check(t.Context(), b.js, b.system); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("check says %v", err)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	program := func(json string) contender { return contender{json, []string{"echo", json}, "runs.of.rate"} }
	var out bytes.Buffer
	c, err := compare(t.Context(), program(`{"runs": [{"name": "other"}, {"name": "of", "rate": 1200}]}`), program(`{"runs": {"of": {"rate": 100}}, "on": "{nats}"}`), 2, &out, true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Ratio != 12 || len(c.Tender) != 2 || len(c.Watermill) != 2 {
		t.Errorf("comparison %+v", c)
	}
	for _, wrong := range []string{`{"runs": []}`, `{"runs": [3]}`, `{"runs": [{"name": "of"}]}`, `{"runs": {"of": {"rate": 0}}}`, `{"runs": 3}`, `nothing`} {
		if _, err := lookUp([]byte(wrong), "runs.of.rate"); err == nil {
			t.Errorf("the result %s is taken", wrong)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if odd, even := median([]float64{3, 1, 2}), median([]float64{4, 1, 2, 3}); odd != 2 || even != 2.5 {
		t.Errorf("medians %v and %v, not 2 and 2.5", odd, even)
	}
}
