package checkpoint_test

import (
	"context"
	"crypto/sha256"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/checkpoint"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// system is a database and a bus, with a relay between them once it is started.
type system struct {
	*testing.T
	pool  *pgxpool.Pool
	store *store.Store
	js    jetstream.JetStream
}

func open(t *testing.T) *system {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), storetest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := &system{T: t, pool: pool, store: store.New(pool, store.Config{}, zaptest.NewLogger(t))}
	t.Cleanup(b.store.Close)
	b.js = servers.JetStream(t, servers.NATS(t).Connect(t))
	if _, err := bus.Provision(t.Context(), b.js, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// run plays a role until it is stopped, or the test ends.
func (b *system) run(role func(context.Context) error) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := role(ctx); err != nil {
			b.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	b.Cleanup(stop)
	return stop
}

func (b *system) relay() (stop func()) {
	b.Helper()
	relay, err := outbox.NewRelay(b.pool, b.js, outbox.RelayConfig{PollInterval: 10 * time.Millisecond}, zaptest.NewLogger(b))
	if err != nil {
		b.Fatal(err)
	}
	return b.run(relay.Run)
}

func (b *system) taker() (stop func()) {
	b.Helper()
	return b.run(checkpoint.NewTaker(b.pool, 10*time.Millisecond, zaptest.NewLogger(b), time.Now).Run)
}

// covered waits until the checkpoints cover everything and all of them are published. What is
// covered is asked first: a checkpoint comes into the outbox with its own commit, so that an outbox
// that is empty later holds none of those that were seen.
func (b *system) covered() {
	b.Helper()
	servers.Eventually(b, "everything is covered and published", func() bool {
		return b.count(`SELECT count(*) FROM payment_events WHERE position > (SELECT COALESCE(max(to_position), 0) FROM checkpoints)`) == 0 &&
			b.count(`SELECT count(*) FROM outbox`) == 0
	})
}

// pay records a payment.
func (b *system) pay() {
	b.Helper()
	id := uuid.Must(uuid.NewV7())
	cmd := messages.Command{
		ID: id.String(), Tenant: "acme", PaymentID: id, IdempotencyKey: id.String(), PayloadHash: sha256.Sum256(id[:]),
		Body: &messages.Create{AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa"},
	}
	d := payment.Decide(&payment.Payment{}, cmd, payment.Env{
		Now: time.Now(), Policy: payment.DefaultPolicy(), Route: func() payment.Route { return payment.Route{Gateway: "sim", Rule: "default"} },
	})
	if err := b.store.Commit(b.Context(), store.Change{Payment: d.Payment, Events: d.Events}); err != nil {
		b.Fatal(err)
	}
}

func (b *system) exec(sql string) {
	b.Helper()
	if _, err := b.pool.Exec(b.Context(), sql); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

func (b *system) count(sql string) (n int) {
	b.Helper()
	if err := b.pool.QueryRow(b.Context(), sql).Scan(&n); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return n
}

func (b *system) compare() checkpoint.Comparison {
	b.Helper()
	c, err := checkpoint.Compare(b.Context(), b.js, b.pool)
	if err != nil {
		b.Fatal(err)
	}
	return c
}
