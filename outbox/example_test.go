package outbox_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/outbox"
)

// A shop records an order and announces it, both or neither.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := shop(ctx, os.Stdout, "postgres://127.0.0.1:5432/shop", "nats://127.0.0.1:4222", zap.NewNop()); err != nil {
		log.Print(err)
	}
}

func shop(ctx context.Context, w io.Writer, postgresURL, natsURL string, logger *zap.Logger) error {
	pool, err := pgxpool.New(ctx, postgresURL)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer pool.Close()
	conn, err := nats.Connect(natsURL, nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connect to the bus: %w", err)
	}
	defer conn.Close()
	bus, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}

	// Once: the tables, in your migrations, and the stream.
	if _, err := pool.Exec(ctx, outbox.SchemaV1()+`; CREATE TABLE orders (id text PRIMARY KEY)`); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := bus.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "ORDERS", Subjects: []string{"orders.>"}, AllowAtomicPublish: true, Duplicates: 2 * time.Minute,
	}); err != nil {
		return fmt.Errorf("provision: %w", err)
	}

	// In a process of its own, or in several.
	relay, err := outbox.NewRelay(pool, bus, outbox.RelayConfig{}, logger)
	if err != nil {
		return fmt.Errorf("configure relay: %w", err)
	}
	relaying, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- relay.Run(relaying) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			logger.Error("relay ended", zap.Error(err))
		}
	}()

	// For each order.
	if err := placeOrder(ctx, pool, "order-42"); err != nil {
		return err
	}

	orders, err := bus.OrderedConsumer(ctx, "ORDERS", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	msg, err := orders.Next()
	if err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s %s %s\n", msg.Subject(), msg.Headers().Get(jetstream.MsgIDHeader), msg.Data())
	return err
}

func placeOrder(ctx context.Context, pool *pgxpool.Pool, id string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO orders (id) VALUES ($1)`, id); err != nil {
			return fmt.Errorf("insert order %s: %w", id, err)
		}
		return outbox.Append(ctx, tx, outbox.Message{
			Subject: "orders.placed", ID: id + ":1", OrderingKey: id, Payload: []byte(`{"order":"` + id + `"}`),
		})
	})
}
