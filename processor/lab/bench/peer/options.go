package main

import (
	"errors"
	"flag"
	"fmt"
	"time"
)

// options configure a measurement. The defaults are the fastest that were found, see README.md.
type options struct {
	Payments    int           `json:"payments"`
	Handlers    int           `json:"handlers"`    // commands in flight
	Connections int           `json:"connections"` // to PostgreSQL, shared by the handlers
	Outboxes    int           `json:"outboxes"`    // topics of the outbox, each with a forwarder
	Batch       int           `json:"batch"`       // rows that a forwarder reads at once
	Poll        time.Duration `json:"-"`           // pause of a forwarder without rows
	Gather      time.Duration `json:"-"`           // pause of a forwarder after it had rows
	Schema      string        `json:"schema"`      // of the outbox: default or queue
	Pipeline    bool          `json:"pipeline"`    // a transaction in one round trip
}

// The two ways that watermill-sql keeps messages in PostgreSQL.
const (
	schemaDefault = "default" // rows stay, and an offset marks the position
	schemaQueue   = "queue"   // rows are deleted when they are forwarded
)

func (o *options) register(flags *flag.FlagSet) {
	flags.IntVar(&o.Payments, "payments", 20_000, "how many payments")
	flags.IntVar(&o.Handlers, "handlers", 64, "commands in flight")
	flags.IntVar(&o.Connections, "connections", 32, "connections to PostgreSQL for the handlers")
	flags.IntVar(&o.Outboxes, "outboxes", 4, "topics of the outbox, each with a forwarder")
	flags.IntVar(&o.Batch, "batch", 1000, "rows of the outbox that a forwarder reads at once")
	flags.DurationVar(&o.Poll, "poll", 10*time.Millisecond, "how often a forwarder without rows looks again")
	flags.DurationVar(&o.Gather, "gather", 0, "how long a forwarder waits after it had rows, for more of them to gather")
	flags.StringVar(&o.Schema, "schema", schemaDefault, "of the outbox: default (keeps its rows) or queue (deletes them)")
	flags.BoolVar(&o.Pipeline, "pipeline", true, "send a transaction in one round trip rather than four")
}

// arguments returns these options as flags for another instance of this program.
func (o *options) arguments() []string {
	return []string{
		fmt.Sprintf("--payments=%d", o.Payments), fmt.Sprintf("--handlers=%d", o.Handlers),
		fmt.Sprintf("--connections=%d", o.Connections), fmt.Sprintf("--outboxes=%d", o.Outboxes), fmt.Sprintf("--batch=%d", o.Batch),
		fmt.Sprintf("--poll=%s", o.Poll), fmt.Sprintf("--gather=%s", o.Gather), fmt.Sprintf("--schema=%s", o.Schema), fmt.Sprintf("--pipeline=%t", o.Pipeline),
	}
}

func (o *options) validate() error {
	switch {
	case min(o.Payments, o.Handlers, o.Connections, o.Outboxes, o.Batch) < 1:
		return errors.New("every number must be at least 1")
	case o.Poll <= 0 || o.Gather < 0:
		return errors.New("--poll must be more than nothing, and --gather not less")
	case o.Schema != schemaDefault && o.Schema != schemaQueue:
		return fmt.Errorf("unknown --schema %q: default or queue", o.Schema)
	default:
		return nil
	}
}
