package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
)

//go:embed schema.sql
var schemaSQL string

// system is a router with the handler of commands, and a forwarder for each topic of the outbox.
type system struct {
	options    options
	handlers   *pgxpool.Pool
	relays     *pgxpool.Pool
	commands   *nats.Conn // to receive them
	events     *nats.Conn // to publish them
	gateway    *gateway
	router     *message.Router
	forwarders []*forwarder.Forwarder
}

// assemble connects, creates the tables and wires the parts. Nothing runs yet.
func assemble(ctx context.Context, natsURL, postgresURL string, o options) (_ *system, err error) {
	s := &system{options: o, gateway: newGateway()}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.handlers, err = connect(ctx, postgresURL, o.Connections, "on"); err != nil {
		return nil, err
	}
	// As in Tender's relay: after a power failure, messages since the lost position are published
	// again.
	if s.relays, err = connect(ctx, postgresURL, o.Outboxes, "off"); err != nil {
		return nil, err
	}
	if s.commands, err = nats.Connect(natsURL); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if s.events, err = nats.Connect(natsURL); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if _, err := s.handlers.Exec(ctx, schemaSQL); err != nil {
		return nil, fmt.Errorf("create tables: %w", err)
	}
	box := newOutbox(o)
	if err := s.addForwarders(box); err != nil {
		return nil, err
	}
	w := &worker{pool: s.handlers, outbox: box, gateway: s.gateway, guarded: guarded()}
	return s, s.addRouter(w)
}

// connect opens a pool with all its connections, so none is opened while the clock runs.
func connect(ctx context.Context, url string, connections int, synchronousCommit string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the address of PostgreSQL: %w", err)
	}
	config.MaxConns, config.MinConns = int32(connections), int32(connections) //nolint:gosec // a few hundred at most
	config.ConnConfig.RuntimeParams["synchronous_commit"] = synchronousCommit
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return pool, pool.Ping(ctx)
}

func (s *system) addRouter(w *worker) error {
	subscriber, err := wmnats.NewSubscriberWithNatsConn(s.commands, wmnats.SubscriberSubscriptionConfig{
		QueueGroupPrefix: durableName,
		SubscribersCount: s.options.Handlers, // each waits for its message to be handled
		JetStream: wmnats.JetStreamConfig{
			AckAsync:         true, // a lost acknowledgement is a redelivery that changes nothing
			DurablePrefix:    durableName,
			SubscribeOptions: []nats.SubOpt{nats.DeliverAll(), nats.AckExplicit(), nats.MaxAckPending(max(1000, 4*s.options.Handlers))},
		},
	}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("make the subscriber of commands: %w", err)
	}
	if s.router, err = message.NewRouter(message.RouterConfig{}, watermill.NopLogger{}); err != nil {
		return fmt.Errorf("make the router: %w", err)
	}
	s.router.AddConsumerHandler("create", topicCommands, subscriber, w.handle)
	return nil
}

func (s *system) addForwarders(box *outbox) error {
	publisher, err := wmnats.NewPublisherWithNatsConn(s.events, wmnats.PublisherPublishConfig{
		Marshaler: &wmnats.NATSMarshaler{}, SubjectCalculator: wmnats.DefaultSubjectCalculator,
		JetStream: wmnats.JetStreamConfig{TrackMsgId: true}, // the stream drops messages that are forwarded again
	}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("make the publisher of events: %w", err)
	}
	for _, topic := range box.topics {
		subscriber, err := sql.NewSubscriber(sql.BeginnerFromPgx(s.relays), sql.SubscriberConfig{
			SchemaAdapter: box.schema, OffsetsAdapter: box.offsets, InitializeSchema: true,
			BackoffManager: pacer{sql.NewDefaultBackoffManager(s.options.Poll, time.Second), s.options.Gather},
		}, watermill.NopLogger{})
		if err != nil {
			return fmt.Errorf("make the subscriber of %s: %w", topic, err)
		}
		if err := subscriber.SubscribeInitialize(topic); err != nil {
			return fmt.Errorf("create the tables of %s: %w", topic, err)
		}
		f, err := forwarder.NewForwarder(subscriber, publisher, watermill.NopLogger{}, forwarder.Config{ForwarderTopic: topic})
		if err != nil {
			return fmt.Errorf("make the forwarder of %s: %w", topic, err)
		}
		s.forwarders = append(s.forwarders, f)
	}
	return nil
}

// pacer makes a forwarder wait after it had rows, so that more of them gather: each read is a
// transaction.
type pacer struct {
	sql.BackoffManager
	gather time.Duration
}

// HandleError implements sql.BackoffManager.
func (p pacer) HandleError(logger watermill.LoggerAdapter, noMsg bool, err error) time.Duration {
	if err == nil && !noMsg {
		return p.gather
	}
	return p.BackoffManager.HandleError(logger, noMsg, err)
}

// run starts everything and returns what finish returns, or an error that ends a part of it.
func (s *system) run(ctx context.Context, finish func(ctx context.Context) (time.Time, error)) (time.Time, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	start := func(run func(context.Context) error) {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	for _, f := range s.forwarders {
		start(f.Run)
	}
	start(s.router.Run)
	at, err := finish(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = errors.Join(err, cause)
	}
	cancel(nil)
	parts.Wait()
	return at, err
}

func (s *system) close() {
	for _, conn := range []*nats.Conn{s.commands, s.events} {
		if conn != nil {
			conn.Close()
		}
	}
	for _, pool := range []*pgxpool.Pool{s.handlers, s.relays} {
		if pool != nil {
			pool.Close()
		}
	}
}
