package main

import (
	"context"
	"errors"
	"time"

	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// pair is a NATS server and a PostgreSQL server with an empty database. NATS serves on a real port
// and keeps streams in files; PostgreSQL syncs every commit.
type pair struct {
	nats     *servers.NATSServer
	postgres *servers.Postgres

	natsURL, postgresURL string
}

const (
	startLimit   = time.Minute
	databaseName = "bench"
)

// startServers starts new servers, equal for both contenders.
func startServers(ctx context.Context) (*pair, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	postgres, err := servers.StartPostgres(ctx, servers.PostgresOptions{Durable: true, MaxConnections: 400, Settings: postgresSettings()})
	if err != nil {
		return nil, err
	}
	bus, err := servers.StartNATS(ctx, servers.NATSOptions{})
	if err != nil {
		return nil, errors.Join(err, postgres.Stop())
	}
	s := &pair{nats: bus, postgres: postgres, natsURL: bus.URL(), postgresURL: postgres.URL(databaseName)}
	if err := postgres.CreateDatabase(ctx, databaseName); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// postgresSettings are the settings of a private server of tender bench.
func postgresSettings() map[string]string {
	return map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "8GB", "min_wal_size": "1GB", "checkpoint_timeout": "15min", "wal_compression": "on",
		"random_page_cost": "1.1", "autovacuum_naptime": "10s", "autovacuum_vacuum_cost_limit": "2000",
	}
}

func (s *pair) stop() error {
	s.nats.Down()
	return errors.Join(s.nats.Stop(), s.postgres.Stop())
}
