// Package client is the Go client for producers: it publishes payment commands and waits for their
// outcomes.
//
// It imports the contract, package messages, and NATS, and nothing of the server side. A command
// that [Client.Publish] has returned is stored; publishing it again under its id and key makes no
// second payment.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// The errors of a Client beyond a *DecodeError for a wrong command, errors of NATS and those of its
// context.
var (
	// ErrStreamMissing: no stream takes the command, or none holds the events: `tender provision`
	// has not run here.
	ErrStreamMissing = errors.New("stream is missing: run tender provision")
	// ErrStreamFull: the stream refuses new commands until old ones age. Nothing was stored.
	ErrStreamFull = errors.New("stream is full")
)

const (
	// ackWaitDefault is how long one publish waits for its acknowledgement before it is sent again.
	ackWaitDefault = 5 * time.Second
	// waiterInactiveMax is how long the server keeps the consumer of a Wait that has gone away.
	waiterInactiveMax = 30 * time.Second
	// pastPauseMax is the longest pause between two attempts to read a payment's past.
	pastPauseMax = time.Minute
	// unheardMax is the number of tries after which a subject without a listener means that there
	// is no stream. A try takes half a second; a cluster that has lost the leader of the stream
	// elects another within a few.
	unheardMax = 10
	// codeStoreFailed is the server's answer when a stream with DiscardNew is full
	// (JSStreamStoreFailedF).
	codeStoreFailed jetstream.ErrorCode = 10077
)

// Config configures a Client.
type Config struct {
	// URL is the NATS server or servers, separated by commas; "" means nats://127.0.0.1:4222. For
	// Connect only.
	URL string
	// Options are passed to nats.Connect. For Connect only.
	Options []nats.Option
	// Tenant is whose payments these are. Required.
	Tenant string
	// Source is the ce-source of the commands, a URI reference naming the producer; "" means
	// "tender".
	Source string
	// AckWait is how long Publish waits for an acknowledgement before it publishes the same message
	// again; 0 means 5 s.
	AckWait time.Duration
	// Now is the clock for ce-time; nil means time.Now.
	Now func() time.Time
}

func (cfg Config) clock() func() time.Time {
	if cfg.Now == nil {
		return time.Now
	}
	return cfg.Now
}

// Client publishes commands of one tenant and waits for their outcomes. It may be used by many
// goroutines at once.
type Client struct {
	js      jetstream.JetStream
	conn    *nats.Conn // nil if it belongs to the caller
	tenant  string
	source  string
	ackWait time.Duration
	now     func() time.Time
}

// Connect connects to NATS, within the context's deadline if it has one. Close the client when
// done.
func Connect(ctx context.Context, cfg Config) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	url := cmp.Or(cfg.URL, nats.DefaultURL)
	options := cfg.Options
	if deadline, ok := ctx.Deadline(); ok {
		options = append([]nats.Option{nats.Timeout(deadline.Sub(cfg.clock()()))}, options...)
	}
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", redactURLs(url), err)
	}
	client, err := New(conn, cfg)
	if err != nil {
		conn.Close()
		return nil, err
	}
	client.conn = conn
	return client, nil
}

// New returns a client on a connection that stays the caller's.
func New(conn *nats.Conn, cfg Config) (*Client, error) {
	if err := messages.ValidateTenant(cfg.Tenant); err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &Client{
		js: js, tenant: cfg.Tenant, source: cfg.Source, ackWait: cmp.Or(cfg.AckWait, ackWaitDefault), now: cfg.clock(),
	}, nil
}

// Close closes the connection if Connect made it. The commands that Publish has returned are on the
// server already.
func (c *Client) Close() {
	if c.conn != nil {
		c.conn.Close()
	}
}

// Ack says that a command is stored: it will be handled, also if its producer ends.
type Ack struct {
	// Command is the command as it was published, with its defaults filled in. Publish sets it in
	// any case, so that a producer that doesn't know whether a command arrived can publish the very
	// same one again.
	Command messages.Command
	// Stream and Sequence say where it is.
	Stream   string
	Sequence uint64
	// Duplicate says that it had been published before.
	Duplicate bool
}

// Prepare returns the command with its defaults filled in, as Publish would send it: the client's
// tenant, a new payment id (UUIDv7) if it has none, which only a create may lack, and its key and
// id. Without a key, the id is the key; without either, the id is a new UUIDv7. With a key only,
// the id is "<command>:<key>": publishing a command again under its key is then the same message,
// and Wait finds its first outcome.
//
// A producer that has to survive its own crash keeps the result of Prepare, or sets PaymentID and
// IdempotencyKey itself: defaults made anew are a new payment.
func (c *Client) Prepare(command messages.Command) (messages.Command, error) {
	if command.Body == nil {
		return messages.Command{}, &messages.DecodeError{Code: messages.CodeMissingField, Field: "body", Detail: "is missing"}
	}
	command.Tenant = c.tenant
	if command.PaymentID == uuid.Nil && command.Name() == messages.CommandCreate {
		id, err := uuid.NewV7()
		if err != nil {
			return messages.Command{}, fmt.Errorf("make a payment id: %w", err)
		}
		command.PaymentID = id
	}
	switch {
	case command.ID != "":
	case command.IdempotencyKey != "":
		command.ID = string(command.Name()) + ":" + command.IdempotencyKey
	default:
		id, err := uuid.NewV7()
		if err != nil {
			return messages.Command{}, fmt.Errorf("make a command id: %w", err)
		}
		command.ID = id.String()
	}
	if command.IdempotencyKey == "" {
		command.IdempotencyKey = command.ID
	}
	return messages.Complete(command)
}

// Publish publishes a command and returns when JetStream has stored it. It sends it again, under
// the same message id, for as long as there is no answer and the context lives, so give the context
// a deadline. Publishing a command twice does no harm if its ID and IdempotencyKey are the same;
// see Prepare for how they come about.
//
// It fails with a *DecodeError for a command that no worker would take, with ErrStreamMissing
// (after some five seconds, in which a cluster may elect a leader), ErrStreamFull, or what NATS or
// the context says. After a context error the command may or may not be stored: publish Ack.Command
// again.
func (c *Client) Publish(ctx context.Context, command messages.Command) (Ack, error) {
	prepared, err := c.Prepare(command)
	if err != nil {
		return Ack{Command: command}, err
	}
	subject, header, body, err := messages.EncodeCommand(prepared, messages.Origin{Source: c.source, Time: c.now()})
	if err != nil {
		return Ack{Command: prepared}, err
	}
	msg := &nats.Msg{Subject: subject, Header: make(nats.Header, len(header)), Data: body}
	for name, value := range header {
		msg.Header.Set(name, value)
	}
	for unheard := 0; ; {
		stored, err := c.publishOnce(ctx, msg)
		if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
			if unheard++; unheard < unheardMax && ctx.Err() == nil {
				continue
			}
		}
		switch {
		case err == nil:
			return Ack{Command: prepared, Stream: stored.Stream, Sequence: stored.Sequence, Duplicate: stored.Duplicate}, nil
		case ctx.Err() != nil:
			return Ack{Command: prepared}, fmt.Errorf("publish %s: %w", subject, ctx.Err())
		case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout):
			return Ack{Command: prepared}, fmt.Errorf("publish %s: %w", subject, publishError(err))
		}
	}
}

func (c *Client) publishOnce(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ackWait)
	defer cancel()
	return c.js.PublishMsg(ctx, msg)
}

// publishError names the meaning of the server's answers.
func publishError(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%s: %w (%w)", messages.StreamCommands, ErrStreamMissing, err)
	case errors.As(err, &api) && api.ErrorCode == codeStoreFailed:
		return fmt.Errorf("%s: %w (%w)", messages.StreamCommands, ErrStreamFull, err)
	default:
		return err
	}
}
