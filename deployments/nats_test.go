package deployments_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/status"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

const natsConfig = "nats/nats-server.conf"

// setPasswords gives each user a password of its own, as an operator's environment would.
func setPasswords(t *testing.T) {
	t.Helper()
	for variable, password := range map[string]string{
		"NATS_SERVE_PASSWORD":    passwordOf("serve"),
		"NATS_OPERATOR_PASSWORD": passwordOf("operator"),
		"NATS_ACME_PASSWORD":     passwordOf("acme"),
		"NATS_SYS_PASSWORD":      passwordOf("sys"),
	} {
		t.Setenv(variable, password)
	}
}

func passwordOf(user string) string { return "secretOf" + user }

// startBus starts a server with the shipped configuration.
func startBus(t *testing.T) *servers.NATSServer {
	t.Helper()
	setPasswords(t)
	return startBusAsIs(t)
}

// startBusAsIs takes the passwords from the environment as it is.
func startBusAsIs(t *testing.T) *servers.NATSServer {
	t.Helper()
	return servers.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile = natsConfig })
}

// connectAs connects a user of the shipped configuration with the inbox prefix that it is allowed.
func connectAs(t *testing.T, server *servers.NATSServer, user string) *nats.Conn {
	t.Helper()
	prefix := nats.InboxPrefix[:len(nats.InboxPrefix)-1]
	if user == "acme" {
		prefix += ".acme"
	}
	return server.Connect(t, nats.UserInfo(user, passwordOf(user)), nats.CustomInboxPrefix(prefix),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // refusals are read from the connection
}

func TestNATSKeepsWhatItAcknowledges(t *testing.T) {
	setPasswords(t)
	o, err := server.ProcessConfigFile(natsConfig)
	if err != nil {
		t.Fatal(err)
	}
	if !o.SyncAlways {
		t.Error("sync_interval is not always: a power failure loses acknowledged payments")
	}
	if o.StoreDir == "" || o.JetStreamMaxStore <= 0 {
		t.Errorf("store in %q bounded by %d bytes, want a folder and a bound", o.StoreDir, o.JetStreamMaxStore)
	}
	if o.MaxPayload < 128<<10 {
		t.Errorf("max_payload is %d bytes, want room for a command of 64 KiB and its headers", o.MaxPayload)
	}
}

func TestNATSRefusesStrangers(t *testing.T) {
	server := startBus(t)
	for _, stranger := range []struct{ user, password string }{
		{"", ""},
		{"acme", passwordOf("operator")},
		{"globex", passwordOf("globex")},
	} {
		if err := login(server, stranger.user, stranger.password); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("connect as %q: %v, want ErrAuthorization", stranger.user, err)
		}
	}
}

// login connects and leaves.
func login(server *servers.NATSServer, user, password string) error {
	conn, err := nats.Connect(server.URL(), nats.UserInfo(user, password))
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}

func TestNATSPermissions(t *testing.T) {
	server := startBus(t)
	const id = "01980000-0000-7000-8000-000000000001"
	type want struct {
		user    string
		publish bool // else subscribe
		subject string
		allowed bool
	}
	const publish, subscribe = true, false
	for _, w := range []want{
		{"acme", publish, "payments.cmd.acme.create." + id, true},
		{"acme", publish, "payments.cmd.acme.confirm." + id, true},
		{"acme", publish, "payments.cmd.acme.capture." + id, true},
		{"acme", publish, "payments.cmd.acme.void." + id, true},
		{"acme", publish, "payments.cmd.acme.refund." + id, true},
		{"acme", publish, "payments.cmd.acme.resume." + id, false},
		{"acme", publish, "payments.cmd.acme.notify." + id, false},
		{"acme", publish, "payments.cmd.acme.resolve." + id, false},
		{"acme", publish, "payments.cmd.acme.compensate." + id, false},
		{"acme", publish, "payments.cmd.globex.create." + id, false},
		{"acme", publish, "payments.evt.acme.payment.captured." + id, false},
		{"acme", publish, "payments.dlq.acme.create." + id, false},
		{"acme", publish, "$JS.API.STREAM.INFO.PAYMENTS_CMD", false},
		{"acme", publish, "$JS.API.CONSUMER.MSG.NEXT.PAYMENTS_CMD.workers", false},
		{"acme", publish, "$JS.ACK.PAYMENTS_CMD.workers.1.1.1.1.1", false},
		{"acme", publish, "$JS.API.CONSUMER.CREATE.PAYMENTS_EVT.mine.payments.evt.acme.>", false},
		{"acme", publish, "$JS.API.CONSUMER.MSG.NEXT.PAYMENTS_ADV.collector", false},
		{"acme", publish, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.PAYMENTS_CMD.workers", false},
		{"acme", publish, "payments.ops.gateway.status", false},
		{"acme", publish, "payments.ops.gateway.primary.one", false},
		{"acme", subscribe, "payments.ops.>", false},
		{"acme", publish, "payments.gateway.bank.refund", false},
		{"acme", subscribe, "payments.gateway.>", false},
		{"acme", subscribe, "payments.evt.acme.>", true},
		{"acme", subscribe, "payments.evt.acme.*.*." + id, true},
		{"acme", subscribe, "payments.evt.globex.>", false},
		{"acme", subscribe, "payments.evt.>", false},
		{"acme", subscribe, "payments.cmd.acme.>", false},
		{"acme", subscribe, "payments.dlq.acme.>", false},
		{"acme", subscribe, "_INBOX.acme.x", true},
		{"acme", subscribe, "_INBOX.globex.>", false},
		{"acme", subscribe, "_INBOX.>", false},
		{"acme", subscribe, ">", false},

		{"serve", publish, "payments.evt.acme.payment.captured." + id, true},
		{"serve", publish, "payments.cmd.acme.resume." + id, true},
		{"serve", publish, "payments.dlq.acme.create." + id, true},
		{"serve", publish, "payments.cmd.acme.create." + id, false},
		{"serve", publish, "payments.cmd.acme.resolve." + id, false},
		{"serve", publish, "payments.cmd.acme.compensate." + id, false},
		{"serve", publish, "$JS.API.CONSUMER.MSG.NEXT.PAYMENTS_CMD.workers", true},
		{"serve", publish, "$JS.API.CONSUMER.MSG.NEXT.PAYMENTS_ADV.collector", true},
		{"serve", publish, "$JS.ACK.PAYMENTS_ADV.collector.1.1.1.1.1", true},
		{"serve", publish, "$JS.API.STREAM.MSG.GET.PAYMENTS_EVT", false},
		{"serve", publish, "$JS.API.STREAM.MSG.DELETE.PAYMENTS_DLQ", false},
		{"serve", publish, "$JS.API.STREAM.MSG.DELETE.PAYMENTS_ADV", false},
		{"serve", publish, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.PAYMENTS_CMD.workers", false},
		{"serve", publish, "$JS.API.STREAM.DELETE.PAYMENTS_EVT", false},
		{"serve", publish, "payments.audit.checkpoint", true},
		{"serve", publish, "$JS.API.STREAM.DELETE.PAYMENTS_AUDIT", false},
		{"serve", publish, "$JS.API.STREAM.MSG.DELETE.PAYMENTS_AUDIT", false},
		{"acme", publish, "payments.audit.checkpoint", false},
		{"acme", subscribe, "payments.audit.>", false},
		{"serve", publish, "$JS.API.STREAM.PURGE.PAYMENTS_CMD", false},
		{"serve", publish, "$JS.API.STREAM.UPDATE.PAYMENTS_CMD", false},
		{"serve", publish, "payments.ops.gateway.primary.one", true},
		{"serve", subscribe, "payments.ops.gateway.status", true},
		{"serve", publish, "payments.gateway.bank.authorize", true},
		{"serve", subscribe, "payments.gateway.bank.authorize", false},
		{"serve", subscribe, "payments.cmd.>", false},

		{"operator", publish, "payments.cmd.acme.resolve." + id, true},
		{"operator", publish, "payments.cmd.acme.compensate." + id, true},
		{"operator", publish, "$JS.API.STREAM.NAMES", true},
		{"operator", publish, "$JS.API.DIRECT.GET.PAYMENTS_DLQ", true},
		{"operator", publish, "$JS.API.STREAM.MSG.DELETE.PAYMENTS_DLQ", true},
		{"operator", publish, "$JS.API.DIRECT.GET.PAYMENTS_EVT", true},
		{"operator", publish, "payments.evt.acme.payment.captured." + id, false},
		{"operator", publish, "payments.ops.gateway.status", true},
		{"operator", publish, "$SRV.PING", true},
		{"operator", publish, "payments.gateway.bank.authorize", false},
		{"operator", publish, "payments.ops.gateway.primary.one", false},
		{"operator", subscribe, "payments.>", true},
		{"operator", subscribe, "$SYS.>", false},

		{"sys", subscribe, "$SYS.ACCOUNT.>", true},
	} {
		verb := "subscribe to"
		if w.publish {
			verb = "publish to"
		}
		if got := allowed(t, connectAs(t, server, w.user), w.publish, w.subject); got != w.allowed {
			t.Errorf("%s may %s %s: %t, want %t", w.user, verb, w.subject, got, w.allowed)
		}
	}
}

// allowed tries it. The server's refusal comes before its answer to the flush.
func allowed(t *testing.T, conn *nats.Conn, publish bool, subject string) bool {
	t.Helper()
	var err error
	if publish {
		err = conn.Publish(subject, []byte("{}"))
	} else {
		_, err = conn.SubscribeSync(subject)
	}
	if err := errors.Join(err, conn.Flush()); err != nil {
		t.Fatalf("try %s: %v", subject, err)
	}
	return !errors.Is(conn.LastError(), nats.ErrPermissionViolation)
}

// TestNATSCarriesACommand goes the way of a command with nothing but the shipped permissions.
func TestNATSCarriesACommand(t *testing.T) {
	server := startBus(t)
	operator := streams(t, connectAs(t, server, "operator"))
	if _, err := bus.Provision(t.Context(), operator, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		t.Fatalf("operator provisions: %v", err)
	}

	producer := connectAs(t, server, "acme")
	followed, err := producer.SubscribeSync("payments.evt.acme.>")
	if err != nil {
		t.Fatal(err)
	}
	client, err := client.New(producer, client.Config{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	create := messages.Create{AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa"}
	ack, err := client.Publish(t.Context(), messages.Command{IdempotencyKey: "order-42", Body: &create})
	if err != nil {
		t.Fatalf("acme gives a command: %v", err)
	}

	js := streams(t, connectAs(t, server, "serve"))
	consumer, err := js.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		t.Fatalf("serve finds its consumer: %v", err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatalf("serve takes a command: %v", err)
	}
	if _, _, id, err := messages.ParseCommandSubject(msg.Subject()); err != nil || id != ack.Command.PaymentID {
		t.Errorf("took %s (%v), want payment %s", msg.Subject(), err, ack.Command.PaymentID)
	}
	event := "payments.evt.acme.payment.created." + ack.Command.PaymentID.String()
	batch := []*nats.Msg{nats.NewMsg(event), nats.NewMsg(event)} // as the relay does
	if _, err := jetstreamext.PublishMsgBatch(t.Context(), js, batch, jetstreamext.BatchFlowControl{}); err != nil {
		t.Fatalf("serve publishes events: %v", err)
	}
	if _, err := js.Publish(t.Context(), messages.DeadLetterSubject(msg.Subject()), nil); err != nil {
		t.Fatalf("serve stores a dead letter: %v", err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatalf("serve acknowledges: %v", err)
	}
	got, err := followed.NextMsgWithContext(t.Context())
	if err != nil {
		t.Fatalf("acme follows its payment: %v", err)
	}
	if got.Subject != event {
		t.Errorf("acme saw %s, want %s", got.Subject, event)
	}
}

// TestNATSCarriesACommandThatTheServerGaveUp collects and redrives with nothing but the shipped
// permissions.
func TestNATSCarriesACommandThatTheServerGaveUp(t *testing.T) {
	server := startBus(t)
	operator := streams(t, connectAs(t, server, "operator"))
	if _, err := bus.Provision(t.Context(), operator, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		t.Fatalf("operator provisions: %v", err)
	}
	client, err := client.New(connectAs(t, server, "acme"), client.Config{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	create := messages.Create{AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa"}
	if _, err := client.Publish(t.Context(), messages.Command{IdempotencyKey: "order-42", Body: &create}); err != nil {
		t.Fatalf("acme gives a command: %v", err)
	}
	serve := streams(t, connectAs(t, server, "serve"))
	consumer, err := serve.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.TermWithReason("by hand"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- deadletter.NewCollector(serve, zaptest.NewLogger(t)).Run(ctx) }()
	servers.Eventually(t, "the command becomes a dead letter", func() bool {
		_, err := deadletter.Get(t.Context(), operator, 1)
		return err == nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve collects: %v", err)
	}
	if l, err := deadletter.Redrive(t.Context(), operator, 1); err != nil || l.Reason != deadletter.ReasonTerminated {
		t.Errorf("operator redrives: %v, %+v", err, l)
	}
}

// TestNATSCarriesTheStateOfGateways asks and answers with nothing but the shipped permissions.
func TestNATSCarriesTheStateOfGateways(t *testing.T) {
	server := startBus(t)
	guard, err := gateway.NewGuard("primary", idle{}, gateway.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := gateway.NewSet(guard)
	if err != nil {
		t.Fatal(err)
	}
	reporter, err := status.NewReporter(connectAs(t, server, "serve"), set, status.NewFeed(time.Now),
		status.Config{Instance: "one", Heartbeat: time.Hour, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reporter.Run(ctx) }()
	operator := connectAs(t, server, "operator")
	servers.Eventually(t, "the operator is answered", func() bool {
		asking, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reports, err := status.Collect(asking, operator)
		return err == nil && len(reports) == 1
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve reports: %v", err)
	}
}

// idle is a gateway that is not called.
type idle struct{ gateway.Gateway }

func streams(t *testing.T, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	js := servers.JetStream(t, conn)
	return js
}
