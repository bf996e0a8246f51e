package outbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// bundle is a database with an outbox and a bus with one stream, PAYMENTS, for payments.evt.>.
type bundle struct {
	t    testing.TB
	url  string
	pool *pgxpool.Pool
	bus  *servers.NATSServer
	nc   *nats.Conn
	js   jetstream.JetStream
}

func setup(t testing.TB) *bundle { return setupOn(t, servers.NATS(t)) }

// setupOn uses a server of the test's own; login is a user and password, if the server has users.
func setupOn(t testing.TB, bus *servers.NATSServer, login ...string) *bundle {
	t.Helper()
	b := &bundle{t: t, url: servers.Database(t), bus: bus}
	b.pool = b.newPool("test")
	b.exec(outbox.SchemaV1())
	b.nc, b.js = b.connect(login...)
	b.provision(stream())
	return b
}

// withConfig starts a server with a piece of configuration.
func withConfig(t testing.TB, config string) *servers.NATSServer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return servers.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile = file })
}

func stream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "PAYMENTS", Subjects: []string{"payments.evt.>"}, Duplicates: time.Minute, AllowAtomicPublish: true,
	}
}

// newPool opens a pool whose sessions carry a name.
func (b *bundle) newPool(name string) *pgxpool.Pool {
	b.t.Helper()
	config, err := pgxpool.ParseConfig(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["application_name"] = name
	pool, err := pgxpool.NewWithConfig(b.t.Context(), config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(pool.Close)
	return pool
}

func (b *bundle) connect(login ...string) (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	options := reconnecting()
	if len(login) == 2 {
		options = append(options, nats.UserInfo(login[0], login[1]))
	}
	nc := b.bus.Connect(b.t, options...)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return nc, js
}

func (b *bundle) provision(config jetstream.StreamConfig) {
	b.t.Helper()
	if _, err := b.js.CreateOrUpdateStream(b.t.Context(), config); err != nil {
		b.t.Fatal(err)
	}
}

func reconnecting() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // not to standard error
	}
}

func (b *bundle) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) append(msgs ...outbox.Message) {
	b.t.Helper()
	if err := outbox.Append(b.t.Context(), b.pool, msgs...); err != nil {
		b.t.Fatal(err)
	}
}

// quick are settings under which a test need not wait for what production may wait for.
func quick() outbox.RelayConfig {
	return outbox.RelayConfig{
		PollInterval: 50 * time.Millisecond, LockRetryInterval: 20 * time.Millisecond,
		PublishTimeout: 2 * time.Second, RetryInitial: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond,
	}
}

// running is a relay under test.
type running struct {
	*outbox.Relay
	stop func() // cancels Run and waits for it; fails the test on an error; may be repeated
}

// relay starts a relay on the bundle's own connection; it is stopped at the end of the test at the
// latest.
func (b *bundle) relay(cfg outbox.RelayConfig) *running { return b.relayOn(b.pool, b.js, cfg) }

func (b *bundle) relayOn(pool *pgxpool.Pool, js jetstream.JetStream, cfg outbox.RelayConfig) *running {
	b.t.Helper()
	r, err := outbox.NewRelay(pool, js, cfg, zaptest.NewLogger(b.t))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var stopped atomic.Bool
	stop := func() {
		cancel()
		if stopped.Swap(true) {
			return
		}
		if err := <-ended; err != nil {
			b.t.Errorf("run: %v", err)
		}
	}
	b.t.Cleanup(stop)
	return &running{Relay: r, stop: stop}
}

// owning waits until the relay owns n partitions.
func (r *running) owning(t testing.TB, n int) *running {
	t.Helper()
	servers.Eventually(t, fmt.Sprintf("the relay owns %d partitions", n),
		func() bool { return r.Stats().PartitionsOwned == n })
	return r
}

// drained waits until no row is left to publish.
func (b *bundle) drained() {
	b.t.Helper()
	servers.Eventually(b.t, "the outbox is empty but for parked keys", func() bool { return b.status().Waiting == 0 })
}

func (b *bundle) status() outbox.Status {
	b.t.Helper()
	s, err := outbox.Inspect(b.t.Context(), b.pool)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bundle) parked() []outbox.ParkedRow {
	b.t.Helper()
	rows, err := outbox.Parked(b.t.Context(), b.pool, 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// messages reads the whole stream in order.
func (b *bundle) messages(name string) []jetstream.Msg {
	b.t.Helper()
	s, err := b.js.Stream(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	n := int(s.CachedInfo().State.Msgs)
	if n == 0 {
		return nil
	}
	reader, err := s.OrderedConsumer(b.t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.t.Fatal(err)
	}
	batch, err := reader.Fetch(n)
	if err != nil {
		b.t.Fatal(err)
	}
	var msgs []jetstream.Msg
	for m := range batch.Messages() {
		msgs = append(msgs, m)
	}
	if batch.Error() != nil || len(msgs) != n {
		b.t.Fatalf("read %d of %d messages: %v", len(msgs), n, batch.Error())
	}
	return slices.DeleteFunc(msgs, func(m jetstream.Msg) bool { return m.Subject() == markSubject })
}

// event is the n-th message of a key.
func event(key string, n int) outbox.Message {
	return outbox.Message{
		Subject:     "payments.evt.acme.payment.captured." + key,
		ID:          fmt.Sprintf("%s:%d", key, n),
		OrderingKey: key,
		Header:      map[string]string{"ce-type": "payment.captured", "ce-source": "tender"},
		Payload:     fmt.Appendf(nil, `{"version":%d}`, n),
	}
}

// events are n messages of each of a number of keys, interleaved.
func events(keys, n int) []outbox.Message {
	msgs := make([]outbox.Message, 0, keys*n)
	for version := 1; version <= n; version++ {
		msgs = append(msgs, someEvents(keys, version)...)
	}
	return msgs
}

// someEvents are the n-th messages of a number of keys.
func someEvents(keys, n int) []outbox.Message {
	msgs := make([]outbox.Message, keys)
	for key := range keys {
		msgs[key] = event(keyName(key), n)
	}
	return msgs
}

func keyName(n int) string { return fmt.Sprintf("pay-%d", n) }

// wantInOrder checks that the stream holds messages 1 to n of each key once and in order.
func wantInOrder(t testing.TB, msgs []jetstream.Msg, keys, n int) {
	t.Helper()
	next := make(map[string]int)
	for _, m := range msgs {
		key := m.Subject()[len("payments.evt.acme.payment.captured."):]
		next[key]++
		if got, want := m.Headers().Get(jetstream.MsgIDHeader), fmt.Sprintf("%s:%d", key, next[key]); got != want {
			t.Fatalf("message %s of the stream where %s should be", got, want)
		}
	}
	if len(msgs) != keys*n {
		t.Errorf("the stream holds %d messages, want %d", len(msgs), keys*n)
	}
}
