package store

import (
	"context"
	"fmt"
)

// WALPosition is how many bytes PostgreSQL has put into its log since it was made, synced or not:
// the difference of two is the bytes that all sessions wrote in between.
func WALPosition(ctx context.Context, db DB) (int64, error) {
	var bytes int64
	if err := db.QueryRow(ctx, walPositionSQL).Scan(&bytes); err != nil {
		return 0, fmt.Errorf("read the position of the log: %w", err)
	}
	return bytes, nil
}

// ServerFacts are what a measurement says of the server that it was made on.
type ServerFacts struct {
	// Backend is the process that answered, on the server's machine.
	Backend int    `json:"-"`
	Version string `json:"version" doc:"version of PostgreSQL"`
	// What a commit waits for, and how much of the data is in memory.
	Fsync             string `json:"fsync" doc:"PostgreSQL's setting fsync"`
	SynchronousCommit string `json:"synchronous_commit" doc:"PostgreSQL's setting synchronous_commit"`
	SharedBuffers     string `json:"shared_buffers" doc:"PostgreSQL's setting shared_buffers"`
	WALCompression    string `json:"wal_compression" doc:"PostgreSQL's setting wal_compression"`
}

// ReadServerFacts asks the server.
func ReadServerFacts(ctx context.Context, db DB) (ServerFacts, error) {
	var f ServerFacts
	err := db.QueryRow(ctx, serverFactsSQL).Scan(
		&f.Backend, &f.Version, &f.Fsync, &f.SynchronousCommit, &f.SharedBuffers, &f.WALCompression)
	if err != nil {
		return ServerFacts{}, fmt.Errorf("ask PostgreSQL for its settings: %w", err)
	}
	return f, nil
}

// Vacuum does at once what autovacuum would do in the background of what comes next, for everything
// in the database that the role owns.
func Vacuum(ctx context.Context, db DB) error {
	if _, err := db.Exec(ctx, vacuumSQL); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}
