// Package bus is the message bus: the streams and consumers that Tender keeps there, how they are
// made and how they are read.
//
// It owns the configuration of every stream and consumer, [Provision], which brings a server to it,
// [Scan], which reads a stream, and [JetStream], through which all of Tender makes its requests. It
// decides nothing about payments and knows the contract, package messages, only. It guarantees that
// provisioning deletes no message, and that a request has a deadline of its own and is made again
// when a server loses it.
package bus

import (
	"cmp"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// The consumers, and the stream that only Tender itself reads.
const (
	// StreamAdvisories holds the server's own messages about commands that no worker settled.
	StreamAdvisories = "PAYMENTS_ADV"
	// ConsumerWorkers is the durable consumer on StreamCommands that all workers share.
	ConsumerWorkers = "workers"
	// ConsumerCollector is the durable consumer on StreamAdvisories that all workers share: what
	// the server says about commands of ConsumerWorkers.
	ConsumerCollector = "collector"
)

// The kinds of advisories that StreamAdvisories keeps; stream and consumer follow.
const (
	AdvisoryMaxDeliveries = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES."
	AdvisoryTerminated    = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED."
)

// StreamOptions size the streams and the workers' consumer. The zero value of each field means its
// default.
type StreamOptions struct {
	// Replicas is how many servers hold each message: 1 (the default), 3 or 5.
	Replicas int
	// CommandMaxAge is how long commands are kept, handled or not; default 7 days. It bounds how
	// long the workers may be down.
	CommandMaxAge time.Duration
	// CommandMaxBytes is how much room commands may take; then new ones are refused. Default: no
	// limit but the server's.
	CommandMaxBytes int64
	// DuplicatesWindow is how long JetStream remembers message ids; default 2 minutes.
	DuplicatesWindow time.Duration
	// EventMaxAge is how long events are kept; default: for ever.
	EventMaxAge time.Duration
	// DeadLetterMaxAge is how long dead letters and advisories are kept; default 30 days.
	DeadLetterMaxAge time.Duration
	// AckWait is how long a worker may be silent about a command before another gets it; default 30
	// seconds.
	AckWait time.Duration
	// AckPendingMax is how many commands may be in flight over all workers; default 10,000.
	AckPendingMax int
	// DeliveriesMax is the server's limit on deliveries of one command; the default, -1, is none.
	// The server also counts deliveries that no worker began. Workers count those they began.
	DeliveriesMax int
}

func (o StreamOptions) withDefaults() StreamOptions {
	const day = 24 * time.Hour
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.CommandMaxAge = cmp.Or(o.CommandMaxAge, 7*day)
	o.CommandMaxBytes = cmp.Or(o.CommandMaxBytes, -1)
	o.DuplicatesWindow = cmp.Or(o.DuplicatesWindow, 2*time.Minute)
	o.DeadLetterMaxAge = cmp.Or(o.DeadLetterMaxAge, 30*day)
	o.AckWait = cmp.Or(o.AckWait, 30*time.Second)
	o.AckPendingMax = cmp.Or(o.AckPendingMax, 10_000)
	o.DeliveriesMax = cmp.Or(o.DeliveriesMax, -1)
	return o
}

// Streams returns the configuration of the streams, in the order in which they are made.
func Streams(o StreamOptions) []jetstream.StreamConfig {
	o = o.withDefaults()
	return []jetstream.StreamConfig{commandStream(o), eventStream(o), deadLetterStream(o), advisoryStream(o), auditStream(o)}
}

// stream returns the settings that all streams share: messages in files, until a limit, and a full
// stream refuses new ones, so that its writers learn of it, rather than drop old ones.
func stream(o StreamOptions, name, description string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        name,
		Description: description,
		Subjects:    subjects,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Storage:     jetstream.FileStorage,
		MaxBytes:    -1,
		MaxMsgs:     -1,
		Duplicates:  o.DuplicatesWindow,
		Replicas:    o.Replicas,
		AllowDirect: true,
		Metadata:    contractMetadata(),
	}
}

// commandStream keeps handled commands until they age. A work queue would delete them on
// acknowledgement and with them, over a restart, its memory of their message ids (nats-server#2921,
// #3272).
func commandStream(o StreamOptions) jetstream.StreamConfig {
	c := stream(o, messages.StreamCommands, "Payment commands, from producers to Tender's workers.", messages.SubjectsCommands)
	c.MaxAge, c.MaxBytes, c.AllowAtomicPublish = o.CommandMaxAge, o.CommandMaxBytes, true
	return c
}

// eventStream is the history that consumers rely on: nothing in it can be deleted or purged.
func eventStream(o StreamOptions) jetstream.StreamConfig {
	c := stream(o, messages.StreamEvents, "Payment events, from Tender to its consumers.", messages.SubjectsEvents)
	c.MaxAge, c.AllowAtomicPublish, c.DenyDelete, c.DenyPurge = o.EventMaxAge, true, true, true
	return c
}

func deadLetterStream(o StreamOptions) jetstream.StreamConfig {
	c := stream(o, messages.StreamDeadLetters, "Commands that Tender could not handle, with the reason in their headers.",
		messages.SubjectsDeadLetters)
	c.MaxAge = o.DeadLetterMaxAge
	return c
}

// advisoryStream keeps the message that the server sends once: that it gave up on a command.
func advisoryStream(o StreamOptions) jetstream.StreamConfig {
	c := stream(o, StreamAdvisories, "The server's advisories about commands that no worker settled.",
		AdvisoryMaxDeliveries+messages.StreamCommands+".>", AdvisoryTerminated+messages.StreamCommands+".>")
	c.MaxAge, c.Discard = o.DeadLetterMaxAge, jetstream.DiscardOld
	return c
}

// auditStream holds the checkpoints that prove the history, so it is kept for ever and nothing in
// it can be deleted or purged.
func auditStream(o StreamOptions) jetstream.StreamConfig {
	c := stream(o, messages.StreamAudit, "Checkpoints of the event store, out of reach of a writer to the database.",
		messages.SubjectsAudit)
	c.AllowAtomicPublish, c.DenyDelete, c.DenyPurge = true, true, true
	return c
}

// WorkerConsumer returns the configuration of the durable pull consumer on StreamCommands that all
// workers share.
func WorkerConsumer(o StreamOptions) jetstream.ConsumerConfig {
	o = o.withDefaults()
	return jetstream.ConsumerConfig{
		Durable:       ConsumerWorkers,
		Description:   "Tender's workers.",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       o.AckWait,
		MaxDeliver:    o.DeliveriesMax,
		MaxAckPending: o.AckPendingMax,
		FilterSubject: messages.SubjectsCommands,
		Metadata:      contractMetadata(),
	}
}

// CollectorConsumer returns the configuration of the durable pull consumer on StreamAdvisories. It
// delivers an advisory until it is acknowledged, however often, and leaves out advisories about
// consumers of other programs.
func CollectorConsumer() jetstream.ConsumerConfig {
	const ackWait, ackPendingMax = 10 * time.Second, 1000
	return jetstream.ConsumerConfig{
		Durable:       ConsumerCollector,
		Description:   "Tender's collector of commands that no worker settled.",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,
		MaxAckPending: ackPendingMax,
		FilterSubjects: []string{
			AdvisoryMaxDeliveries + messages.StreamCommands + "." + ConsumerWorkers,
			AdvisoryTerminated + messages.StreamCommands + "." + ConsumerWorkers,
		},
		Metadata: contractMetadata(),
	}
}

func contractMetadata() map[string]string {
	return map[string]string{"tender.contract": "1"}
}

func (o StreamOptions) validate() error {
	o = o.withDefaults()
	switch {
	case o.Replicas < 1 || o.Replicas > 5:
		return fmt.Errorf("provision: %d replicas, must be 1 to 5", o.Replicas)
	case min(o.CommandMaxAge, o.DeadLetterMaxAge, o.AckWait) < 0 || o.EventMaxAge < 0:
		return fmt.Errorf("provision: a time is negative")
	case o.DuplicatesWindow < 0 || o.DuplicatesWindow > o.CommandMaxAge || o.EventMaxAge > 0 && o.DuplicatesWindow > o.EventMaxAge ||
		o.DuplicatesWindow > o.DeadLetterMaxAge:
		return fmt.Errorf("provision: the duplicates window %s is negative or longer than messages are kept", o.DuplicatesWindow)
	case o.AckPendingMax < -1 || o.DeliveriesMax < -1 || o.CommandMaxBytes < -1:
		return fmt.Errorf("provision: a limit is less than -1")
	default:
		return nil
	}
}
