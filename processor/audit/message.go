package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// reading reads a stream from its first message, in order.
type reading struct {
	stream   jetstream.Stream
	iterator jetstream.MessagesContext
	// sequence is that of the message read last.
	sequence uint64
	// release ends the watch over the context.
	release func() bool
}

// openReading begins to read; the reading ends with its context.
func openReading(ctx context.Context, stream jetstream.Stream) (*reading, error) {
	r := &reading{stream: stream}
	return r, r.open(ctx)
}

// open reads on behind the last message that was read.
func (r *reading) open(ctx context.Context) error {
	consumer, err := r.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.sequence + 1,
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", messages.StreamEvents, err)
	}
	iterator, err := consumer.Messages(jetstream.PullMaxMessages(batchMax))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", messages.StreamEvents, err)
	}
	r.iterator, r.release = iterator, context.AfterFunc(ctx, iterator.Stop)
	return nil
}

// reopen begins anew where reading stopped: a consumer that was made while the cluster chose its
// leaders may never deliver.
func (r *reading) reopen(ctx context.Context) error {
	r.stop()
	return r.open(ctx)
}

func (r *reading) stop() {
	r.release()
	r.iterator.Stop()
}

// errSilent says that no message came for a while.
var errSilent = errors.New("no message came")

// silenceMax is the time to wait for the next message before looking whether there is one.
const silenceMax = 5 * time.Second

func (r *reading) next() (message, error) {
	msg, err := r.iterator.Next(jetstream.NextMaxWait(silenceMax))
	if errors.Is(err, nats.ErrTimeout) {
		return message{}, errSilent
	}
	if err != nil {
		return message{}, fmt.Errorf("read stream %s after message %d: %w", messages.StreamEvents, r.sequence, err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return message{}, fmt.Errorf("read stream %s after message %d: %w", messages.StreamEvents, r.sequence, err)
	}
	r.sequence = meta.Sequence.Stream
	return newMessage(r.sequence, msg.Subject(), msg.Headers(), msg.Data()), nil
}

// message is one message of the stream of events.
type message struct {
	sequence uint64
	subject  string
	header   nats.Header
	body     []byte
	// paymentID and version are those of its message id.
	paymentID uuid.UUID
	version   int64
	// problem is the finding about it, "" if there is none yet.
	problem string
}

func newMessage(sequence uint64, subject string, header nats.Header, body []byte) message {
	m := message{sequence: sequence, subject: subject, header: header, body: body}
	paymentID, version, ok := strings.Cut(m.header.Get(messages.HeaderMessageID), ":")
	var errID, errVersion error
	m.paymentID, errID = uuid.Parse(paymentID)
	m.version, errVersion = strconv.ParseInt(version, 10, 64)
	if !ok || errID != nil || errVersion != nil || m.version < 1 {
		m.problem = "its message id is not that of an event"
		_, _, m.paymentID, _ = messages.ParseEventSubject(m.subject) // The finding is about the id; this only helps to name the payment.
	}
	return m
}

func (m *message) ref() books.EventRef {
	return books.EventRef{
		PaymentID: m.paymentID, Version: m.version, BodyHash: sha256.Sum256(m.body),
		Traceparent: m.header.Get(messages.HeaderTraceparent),
	}
}

// common holds the fields in the body of every event; see messages.EncodeEventBody.
type common struct {
	PaymentID  uuid.UUID          `json:"payment_id"`
	Tenant     string             `json:"tenant"`
	Version    int64              `json:"version"`
	Type       messages.EventType `json:"type"`
	OccurredAt string             `json:"occurred_at"`
}

// misfit names the part of the subject and the headers that does not fit the body, "" if all do.
func (m *message) misfit() string {
	var body common
	if err := json.Unmarshal(m.body, &body); err != nil {
		return "its body is not an event's"
	}
	messageID := body.PaymentID.String() + ":" + strconv.FormatInt(body.Version, 10)
	if !body.Type.Published() {
		return "events of type " + string(body.Type) + " are not published"
	}
	tenant, eventType, paymentID, err := messages.ParseEventSubject(m.subject)
	if err != nil || tenant != body.Tenant || eventType != body.Type || paymentID != body.PaymentID {
		return "its subject " + m.subject + " is not that of its event"
	}
	for _, h := range [...]struct{ name, want string }{
		{messages.HeaderMessageID, messageID},
		{messages.HeaderCESpecVersion, "1.0"},
		{messages.HeaderCEID, messageID},
		{messages.HeaderCEType, "tender." + string(body.Type) + ".v1"},
		{messages.HeaderCESubject, body.PaymentID.String()},
		{messages.HeaderCETime, body.OccurredAt},
		{messages.HeaderContentType, "application/json"},
	} {
		if m.header.Get(h.name) != h.want {
			return "its header " + h.name + " is not that of its event"
		}
	}
	return ""
}
