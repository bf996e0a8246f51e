package app

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/config"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// Provision makes the streams, the consumers and the bucket that Tender keeps on NATS, or with
// check only compares them. It returns one change for each of them, also together with an error.
func Provision(ctx context.Context, js jetstream.JetStream, cfg config.Config, check bool) ([]bus.Change, error) {
	changes, err := bus.Provision(ctx, js, streamOptions(cfg), bus.ProvisionOptions{CheckOnly: check})
	if err != nil {
		return changes, err
	}
	bucket, err := routing.EnsureBucket(ctx, js, routing.BucketOptions{Replicas: cfg.Streams.Replicas, CheckOnly: check})
	if err != nil {
		return changes, err
	}
	return append(changes, bucket), nil
}

// streamOptions translates the settings of the streams, and of the consumer that the workers'
// settings imply.
func streamOptions(cfg config.Config) bus.StreamOptions {
	s := cfg.Streams
	return bus.StreamOptions{
		Replicas:         s.Replicas,
		CommandMaxAge:    orForEver(s.CmdMaxAge),
		CommandMaxBytes:  s.CmdMaxBytes,
		DuplicatesWindow: s.Duplicates,
		EventMaxAge:      s.EvtMaxAge,
		DeadLetterMaxAge: orForEver(s.DLQMaxAge),
		AckWait:          cfg.Worker.AckWait,
		// Room for the slots of several processes.
		AckPendingMax: max(10_000, 4*cfg.Worker.SlotsMax),
	}
}

// orForEver translates a limit of which 0 means none for options of which 0 means the default. No
// message reaches an age of a hundred years.
func orForEver(age time.Duration) time.Duration {
	if age == 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return age
}
