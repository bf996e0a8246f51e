package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/store"
)

const (
	// RequestTimeout bounds one request to NATS of a command that does one thing.
	RequestTimeout = 10 * time.Second
	// pingInterval is the time between two pings of a connection to NATS. The client leaves a
	// server that hangs, or that is cut off in silence, after three of them; by its own default it
	// would take minutes.
	pingInterval = 5 * time.Second
)

// DialNATS makes one attempt to connect, within the configured time. It fails with a
// [term.UnavailableError]. A connection that was made reconnects by itself until it is closed.
func DialNATS(cfg config.NATS, more ...nats.Option) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(cfg.Name), nats.Timeout(cfg.ConnectTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.CustomInboxPrefix(cfg.InboxPrefix),
	}
	if cfg.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.User != "" {
		options = append(options, nats.UserInfo(cfg.User, cfg.Password.Reveal()))
	}
	if cfg.TLS.CAFile != "" {
		options = append(options, nats.RootCAs(cfg.TLS.CAFile))
	}
	if cfg.TLS.CertFile != "" {
		options = append(options, nats.ClientCert(cfg.TLS.CertFile, cfg.TLS.KeyFile))
	}
	nc, err := nats.Connect(cfg.URL.Reveal(), append(options, more...)...)
	if err != nil {
		return nil, &term.UnavailableError{Service: term.ServiceNATS, Address: cfg.URL.String(), Err: err}
	}
	return nc, nil
}

// poolConfig translates the settings.
func poolConfig(cfg config.Postgres, name string) (*pgxpool.Config, error) {
	pool, err := pgxpool.ParseConfig(cfg.URL.Reveal())
	if err != nil {
		return nil, &term.ExitError{Code: term.ExitUsage, Err: fmt.Errorf("postgres.url: %w", err)}
	}
	pool.MaxConns = int32(cfg.MaxConns) //nolint:gosec // validated to be at most 10,000
	pool.MinConns = int32(cfg.MinConns) //nolint:gosec // at most MaxConns
	pool.MaxConnIdleTime = cfg.MaxConnIdle
	pool.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	pool.ConnConfig.RuntimeParams["application_name"] = name
	pool.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(cfg.StatementTimeout.Milliseconds(), 10)
	return pool, nil
}

// DialPool opens a pool and makes one attempt to connect, within the configured time. name is shown
// in PostgreSQL's own views. It fails with a [term.UnavailableError].
func DialPool(ctx context.Context, cfg config.Postgres, name string) (*pgxpool.Pool, error) {
	settings, err := poolConfig(cfg, name)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, fmt.Errorf("open the pool to PostgreSQL at %s: %w", cfg.URL, err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &term.UnavailableError{Service: term.ServicePostgres, Address: cfg.URL.String(), Err: err}
	}
	return pool, nil
}

// Bus is the connection to NATS of a command that does one thing.
type Bus struct {
	NC *nats.Conn
	JS jetstream.JetStream
}

// OpenBus connects, or fails at once with a [term.UnavailableError].
func OpenBus(cfg config.Config) (*Bus, error) {
	nc, err := DialNATS(cfg.NATS)
	if err != nil {
		return nil, err
	}
	js, err := bus.JetStream(nc, RequestTimeout)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &Bus{NC: nc, JS: js}, nil
}

// Close closes the connection.
func (b *Bus) Close() { b.NC.Close() }

// OpenDatabase connects a command that does one thing to a database, and fails at once if the
// database does not answer or is not migrated.
func OpenDatabase(ctx context.Context, cfg config.Config) (*pgxpool.Pool, error) {
	cfg.Postgres.MinConns = 0
	pool, err := DialPool(ctx, cfg.Postgres, cfg.NATS.Name+" command")
	if err != nil {
		return nil, err
	}
	if err := store.CheckSchema(ctx, pool); err != nil {
		pool.Close()
		return nil, term.NotReady(term.ServicePostgres, cfg.Postgres.URL, err)
	}
	return pool, nil
}

// WithBus connects to NATS for one command.
func WithBus(e *term.Env, do func(*Bus) error) error {
	return WithConfiguredBus(e, func(_ config.Config, b *Bus) error { return do(b) })
}

// WithConfiguredBus connects to NATS for one command that needs its configuration as well.
func WithConfiguredBus(e *term.Env, do func(config.Config, *Bus) error) error {
	cfg, err := e.Load()
	if err != nil {
		return err
	}
	b, err := OpenBus(cfg)
	if err != nil {
		return err
	}
	defer b.Close()
	err = do(cfg, b)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return term.NotReady(term.ServiceNATS, cfg.NATS.URL, fmt.Errorf("run tender provision: %w", err))
	}
	return err
}

// WithDatabase opens the database for one command.
func WithDatabase(ctx context.Context, e *term.Env, do func(*pgxpool.Pool) error) error {
	cfg, err := e.Load()
	if err != nil {
		return err
	}
	pool, err := OpenDatabase(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(pool)
}

// WithStore opens the store for one command.
func WithStore(ctx context.Context, e *term.Env, do func(*store.Store) error) error {
	return WithDatabase(ctx, e, func(pool *pgxpool.Pool) error {
		s := NewStore(pool)
		defer s.Close()
		return do(s)
	})
}

// NewStore returns a store for one command, which needs few connections.
func NewStore(pool *pgxpool.Pool) *store.Store {
	return store.New(pool, store.Config{Committers: 1, Loaders: 1}, zap.NewNop())
}

// checkProvisioned fails if a stream or the consumer that the roles need is missing. `tender
// provision --check` says whether those on the bus differ from the configuration.
func checkProvisioned(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	for _, name := range []string{messages.StreamCommands, messages.StreamEvents, messages.StreamDeadLetters, messages.StreamAudit} {
		if _, err := js.Stream(ctx, name); err != nil {
			return missing("stream "+name, err)
		}
	}
	if _, err := js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers); err != nil {
		return missing("consumer "+bus.ConsumerWorkers, err)
	}
	return nil
}

func missing(name string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("%s is missing: run tender provision (%w)", name, err)
	}
	return fmt.Errorf("look at %s: %w", name, err)
}

// logConnection logs when the connection to NATS breaks and when it is back.
func logConnection(log *zap.Logger, address config.URL) []nats.Option {
	where := zap.Stringer("address", address)
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost the connection to NATS; reconnecting", where, zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("reconnected to NATS", where) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS reports an error", where, zap.Error(err))
		}),
	}
}
