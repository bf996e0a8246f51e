package main

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

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/store"
)

const (
	serviceNATS     = "NATS"
	servicePostgres = "PostgreSQL"
	// requestTimeout bounds one request to NATS of a command that does one thing.
	requestTimeout = 10 * time.Second
	// pingInterval is how often a connection to NATS is tried. A server that hangs, or is cut off in silence, is left after
	// three of them; by the library's default it would take minutes.
	pingInterval = 5 * time.Second
)

// dialNATS makes one attempt to connect, within the configured time. The connection finds its way back by itself for
// as long as it lives.
func dialNATS(cfg config.NATS, more ...nats.Option) (*nats.Conn, error) {
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
		return nil, &unavailableError{service: serviceNATS, address: cfg.URL.String(), err: err}
	}
	return nc, nil
}

// poolConfig translates the settings. The name shows in PostgreSQL's own views.
func poolConfig(cfg config.Postgres, name string) (*pgxpool.Config, error) {
	pool, err := pgxpool.ParseConfig(cfg.URL.Reveal())
	if err != nil {
		return nil, &exitError{code: exitUsage, err: fmt.Errorf("postgres.url: %w", err)}
	}
	pool.MaxConns = int32(cfg.MaxConns) //nolint:gosec // validated to be at most 10,000
	pool.MinConns = int32(cfg.MinConns) //nolint:gosec // at most MaxConns
	pool.MaxConnIdleTime = cfg.MaxConnIdle
	pool.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	pool.ConnConfig.RuntimeParams["application_name"] = name
	pool.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(cfg.StatementTimeout.Milliseconds(), 10)
	return pool, nil
}

// dialPool opens a pool and makes one attempt to connect, within the configured time.
func dialPool(ctx context.Context, cfg config.Postgres, name string) (*pgxpool.Pool, error) {
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
		return nil, &unavailableError{service: servicePostgres, address: cfg.URL.String(), err: err}
	}
	return pool, nil
}

// bus is the connection to NATS of a command that does one thing.
type link struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// openBus connects or fails at once.
func openBus(cfg config.Config) (*link, error) {
	nc, err := dialNATS(cfg.NATS)
	if err != nil {
		return nil, err
	}
	js, err := bus.JetStream(nc, requestTimeout)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &link{nc: nc, js: js}, nil
}

func (b *link) close() { b.nc.Close() }

// openDatabase connects a command that does one thing to a migrated database, or fails at once.
func openDatabase(ctx context.Context, cfg config.Config) (*pgxpool.Pool, error) {
	cfg.Postgres.MinConns = 0
	pool, err := dialPool(ctx, cfg.Postgres, cfg.NATS.Name+" command")
	if err != nil {
		return nil, err
	}
	if err := store.CheckSchema(ctx, pool); err != nil {
		pool.Close()
		return nil, notReady(servicePostgres, cfg.Postgres.URL, err)
	}
	return pool, nil
}

// notReady is the error of a service that is there and was not prepared.
func notReady(service string, address config.URL, err error) error {
	return &exitError{code: exitUnavailable, err: fmt.Errorf("%s at %s is not ready: %w", service, address, err)}
}

// checkProvisioned reports what the roles need on the bus and is not there. What is there may differ from the
// configuration: that is for `tender provision --check` to say.
func checkProvisioned(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
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

func missing(what string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("%s is missing: run tender provision (%w)", what, err)
	}
	return fmt.Errorf("look at %s: %w", what, err)
}

// logConnection notes when the connection to NATS comes and goes.
func logConnection(log *zap.Logger, address config.URL) []nats.Option {
	where := zap.Stringer("address", address)
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS is gone: trying to reconnect", where, zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS is back", where) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS reports an error", where, zap.Error(err))
		}),
	}
}
