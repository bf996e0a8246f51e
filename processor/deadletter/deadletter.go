// Package deadletter keeps the commands that cannot be handled: their content, where they came from
// and why they were given up, so that a person can look at them, put things right, and send them
// again. It keeps signed events of gateways from which no command could be made as well; those are
// for a person only.
//
// A dead letter is a message in the stream PAYMENTS_DLQ with the body of its original, card numbers
// masked, and with what is known of it in headers. Nothing here decides that a command is given up;
// package worker does.
package deadletter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// The reasons that are not a messages.DecodeCode.
const (
	ReasonDeliveriesExhausted = "deliveries_exhausted"
	ReasonPaymentNotFound     = "payment_not_found"
	// ReasonTerminated is that of a command which was given up without a dead letter: by a person,
	// or the server when the message was deleted under a worker's hands.
	ReasonTerminated = "terminated"
	// ReasonWebhookUnusable is that of a gateway's event which was signed and could not become a
	// command.
	ReasonWebhookUnusable = "webhook_unusable"
)

// terminationPrefix begins the reason with which an original is terminated once its dead letter is
// stored.
const terminationPrefix = "tender dead letter: "

// TerminationReason is the reason to terminate an original with once its dead letter is stored. The
// server repeats it in its advisory, where Buried recognises it.
func TerminationReason(reason string) string { return terminationPrefix + reason }

// Buried reports whether the reason of a termination says that a dead letter was stored before it.
func Buried(terminationReason string) bool {
	return strings.HasPrefix(terminationReason, terminationPrefix)
}

// The headers of a dead letter, beside those of its original. Headers of the original that mean
// something to NATS stand behind HeaderOriginalPrefix, so that they don't mean it again.
const (
	HeaderReason          = "Tender-Reason"
	HeaderDetail          = "Tender-Detail"
	HeaderOriginalSubject = "Tender-Original-Subject"
	HeaderStream          = "Tender-Stream"
	HeaderSequence        = "Tender-Stream-Sequence"
	HeaderDeliveries      = "Tender-Deliveries"
	HeaderDeadAt          = "Tender-Dead-At"
	HeaderBodySize        = "Tender-Body-Size"
	HeaderMasked          = "Tender-Masked"
	HeaderOriginalPrefix  = "Tender-Original-"
	// HeaderRedrivenFrom stands on a command that was sent again: the sequence of its dead letter.
	HeaderRedrivenFrom = "Tender-Redriven-From"
)

// bodySizeMax is the size to which a body is kept. A larger one was refused for its size.
const bodySizeMax = 4 * messages.BodySizeMax

// Letter is one dead letter.
type Letter struct {
	// Sequence is its number in PAYMENTS_DLQ, 0 if it is not stored yet.
	Sequence uint64 `json:"sequence"`
	Subject  string `json:"subject"`
	Reason   string `json:"reason"`
	Detail   string `json:"detail"`
	// OriginalSubject, Stream and StreamSequence say where the command was; Deliveries how often it
	// was tried. Without a subject the original was gone from its stream: then nothing is known of
	// it but these numbers.
	OriginalSubject string    `json:"original_subject"`
	Stream          string    `json:"stream"`
	StreamSequence  uint64    `json:"stream_sequence"`
	Deliveries      uint64    `json:"deliveries"`
	DeadAt          time.Time `json:"dead_at"`
	// BodySize is the size of the original's body, of which Body may be only the beginning.
	BodySize int `json:"body_size"`
	// Masked says that a probable card number was masked. Every reader refuses such a command.
	Masked bool `json:"masked,omitempty"`
	// Headers are the original's, by their original names.
	Headers nats.Header `json:"headers"`
	Body    []byte      `json:"body"`
}

// Cause is why and when a command is given up.
type Cause struct {
	Reason, Detail string
	At             time.Time
}

// Original is a command as its stream holds it, with how often it was delivered. One that is gone
// has no subject.
type Original struct {
	Subject              string
	Header               nats.Header
	Body                 []byte
	Stream               string
	Sequence, Deliveries uint64
}

// From makes the dead letter of a delivery. Card numbers in its subject, headers and body are
// masked.
func From(msg jetstream.Msg, cause Cause) (Letter, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Letter{}, fmt.Errorf("read metadata of %s: %w", mask(msg.Subject()), err)
	}
	return Of(Original{
		Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data(),
		Stream: meta.Stream, Sequence: meta.Sequence.Stream, Deliveries: meta.NumDelivered,
	}, cause), nil
}

// Of makes the dead letter of a command. Card numbers in its subject, headers and body are masked.
func Of(o Original, cause Cause) Letter {
	l := Letter{
		Subject: messages.DeadLetterSubject(o.Subject), Reason: cause.Reason, Detail: cause.Detail,
		OriginalSubject: mask(o.Subject), Stream: o.Stream, StreamSequence: o.Sequence,
		Deliveries: o.Deliveries, DeadAt: cause.At.UTC(), BodySize: len(o.Body), Headers: nats.Header{},
		Body: messages.MaskCardNumbers(o.Body),
	}
	l.Masked = l.OriginalSubject != o.Subject || !bytes.Equal(l.Body, o.Body)
	l.Body = l.Body[:min(len(l.Body), bodySizeMax)]
	for name, values := range o.Header {
		for _, v := range values {
			l.Headers[mask(name)] = append(l.Headers[mask(name)], mask(v))
			l.Masked = l.Masked || mask(v) != v && !isTrace(name)
		}
	}
	return l
}

// OfWebhook makes the dead letter of an event that a gateway sent. Card numbers in its body are
// masked. It stands under the command "webhook" of no tenant, and cannot be sent again as a
// command.
func OfWebhook(gateway string, body []byte, cause Cause) Letter {
	cause.Reason = ReasonWebhookUnusable
	l := Of(Original{Subject: webhookSubject + gateway, Body: body, Deliveries: 1}, cause)
	l.Subject = messages.DeadLetterSubject("payments.cmd._.webhook")
	return l
}

// webhookSubject stands before the name of the gateway in the place of an original's subject.
const webhookSubject = "webhooks."

// isTrace reports whether a header carries a trace, in which digits mean nothing: no command is
// refused for them.
func isTrace(name string) bool {
	return strings.EqualFold(name, messages.HeaderTraceparent) || strings.EqualFold(name, messages.HeaderTracestate)
}

func mask(s string) string { return string(messages.MaskCardNumbers([]byte(s))) }

// Publish stores a dead letter. Storing the same one twice leaves one, within the stream's window
// for duplicates.
func Publish(ctx context.Context, js jetstream.Publisher, l Letter) error {
	msg := &nats.Msg{Subject: l.Subject, Header: l.header(), Data: l.Body}
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(l.messageID()), jetstream.WithExpectStream(messages.StreamDeadLetters)); err != nil {
		return fmt.Errorf("publish dead letter of %s, %s %d: %w", l.OriginalSubject, l.Stream, l.StreamSequence, err)
	}
	return nil
}

// messageID is the same for the same original. The sequence alone is none: a stream that was lost
// or restored counts anew, and another command's letter would be taken for a repetition.
func (l Letter) messageID() string {
	h := sha256.New()
	for _, part := range []string{l.OriginalSubject, l.Headers.Get(messages.HeaderMessageID), string(l.Body)} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash never returns an error
	}
	return fmt.Sprintf("%s:%d:%x", l.Stream, l.StreamSequence, h.Sum(nil)[:8])
}

func (l Letter) header() nats.Header {
	h := nats.Header{}
	for name, values := range l.Headers {
		if isNATSHeader(name) {
			name = HeaderOriginalPrefix + name
		}
		h[name] = values
	}
	h.Set(HeaderReason, l.Reason)
	h.Set(HeaderDetail, singleLine(l.Detail))
	h.Set(HeaderOriginalSubject, l.OriginalSubject)
	h.Set(HeaderStream, l.Stream)
	h.Set(HeaderSequence, strconv.FormatUint(l.StreamSequence, 10))
	h.Set(HeaderDeliveries, strconv.FormatUint(l.Deliveries, 10))
	h.Set(HeaderDeadAt, l.DeadAt.Format(time.RFC3339Nano))
	h.Set(HeaderBodySize, strconv.Itoa(l.BodySize))
	if l.Masked {
		h.Set(HeaderMasked, "true")
	}
	return h
}

func isNATSHeader(name string) bool { return strings.HasPrefix(strings.ToLower(name), "nats-") }

func singleLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

// ErrNotFound is returned when there is no dead letter with the given sequence, any more or yet.
var ErrNotFound = errors.New("no such dead letter")

// parse reads a dead letter as it is stored. Headers that are missing or damaged leave their fields
// empty: a letter of another program is shown as far as it goes.
func parse(msg *jetstream.RawStreamMsg) Letter {
	l := Letter{
		Sequence: msg.Sequence, Subject: msg.Subject, Body: msg.Data, Headers: nats.Header{},
		Reason: msg.Header.Get(HeaderReason), Detail: msg.Header.Get(HeaderDetail),
		OriginalSubject: msg.Header.Get(HeaderOriginalSubject), Stream: msg.Header.Get(HeaderStream),
	}
	l.StreamSequence, _ = strconv.ParseUint(msg.Header.Get(HeaderSequence), 10, 64)
	l.Deliveries, _ = strconv.ParseUint(msg.Header.Get(HeaderDeliveries), 10, 64)
	l.BodySize, _ = strconv.Atoi(msg.Header.Get(HeaderBodySize))
	l.Masked = msg.Header.Get(HeaderMasked) == "true"
	l.DeadAt, _ = time.Parse(time.RFC3339Nano, msg.Header.Get(HeaderDeadAt))
	if l.DeadAt.IsZero() {
		l.DeadAt = msg.Time.UTC()
	}
	for name, values := range msg.Header {
		original, wasNATS := strings.CutPrefix(name, HeaderOriginalPrefix+"Nats-")
		switch {
		case wasNATS:
			l.Headers["Nats-"+original] = values
		case !strings.HasPrefix(name, "Tender-") && !strings.HasPrefix(name, "Nats-"):
			l.Headers[name] = values
		}
	}
	return l
}
