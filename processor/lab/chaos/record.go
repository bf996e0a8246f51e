package chaos

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/retry"
)

// Hash is the SHA-256 of a body; in JSON it is in hexadecimal.
type Hash [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(h[:], text); err != nil || n != len(h) {
		return fmt.Errorf("%q is not a SHA-256", text)
	}
	return nil
}

// Run is the first line of a record: it determines the commands.
type Run struct {
	Seed    uint64   `json:"seed"`
	Tenants []string `json:"tenants"`
	// Webhooks means that the plan has cases that only a notification of a gateway reveals.
	Webhooks bool      `json:"webhooks,omitempty"`
	Began    time.Time `json:"began"`
}

// Sent is one message that the client published, from the first try until it was acknowledged or
// given up.
type Sent struct {
	// Number is the place of the command in the plan. A repeated message keeps the number.
	Number  int                  `json:"number"`
	Tenant  string               `json:"tenant"`
	Command messages.CommandName `json:"command"`
	// PaymentID, Key and PayloadHash are the values that Tender reads; zero for an unreadable
	// message, see DeadLetter.
	PaymentID   uuid.UUID `json:"payment_id,omitzero"`
	Key         string    `json:"key,omitempty"`
	PayloadHash Hash      `json:"payload_hash,omitzero"`
	CommandID   string    `json:"command_id,omitempty"`
	Subject     string    `json:"subject"`
	MessageID   string    `json:"message_id,omitempty"`
	BodyHash    Hash      `json:"body_hash"`
	// DeadLetter is the reason of the dead letter that it must become; "" for a command that can be
	// read.
	DeadLetter string `json:"dead_letter,omitempty"`
	// Copy is "" for a first message, "again" for one that repeats it, "replay" for one that
	// repeats it long after.
	Copy string `json:"copy,omitempty"`
	// At is the time of the first try, Tries the number of tries under one message id, and Error
	// the last failure.
	At    time.Time `json:"at"`
	Tries int       `json:"tries"`
	Error string    `json:"error,omitempty"`
	// Acknowledged means that JetStream stored it, at Sequence of Stream, now or before
	// (Duplicate).
	Acknowledged   bool      `json:"acknowledged"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	Stream         string    `json:"stream,omitempty"`
	Sequence       uint64    `json:"sequence,omitempty"`
	Duplicate      bool      `json:"duplicate,omitempty"`
}

// Seen is one event that the client received.
type Seen struct {
	ID        string             `json:"id"`
	PaymentID uuid.UUID          `json:"payment_id"`
	Version   int64              `json:"version"`
	Type      messages.EventType `json:"type"`
	BodyHash  Hash               `json:"body_hash"`
	At        time.Time          `json:"at"`
	// OperationID is the operation of a review.
	OperationID string `json:"operation_id,omitempty"`
}

// Totals count the entries of a record.
type Totals struct {
	Sent         int64 `json:"sent"`
	Acknowledged int64 `json:"acknowledged"`
	Duplicates   int64 `json:"duplicates"`
	Retries      int64 `json:"retries"`
	Seen         int64 `json:"seen"`
}

// line is one line of a record; one of its fields is set.
type line struct {
	Run  *Run  `json:"run,omitempty"`
	Sent *Sent `json:"sent,omitempty"`
	Seen *Seen `json:"seen,omitempty"`
}

// Record writes the acts and observations of a client as lines of JSON, at once: evidence that is
// independent of the system under test. It keeps only counters in memory. Its methods may be
// called concurrently.
type Record struct {
	mu     sync.Mutex
	to     *bufio.Writer
	encode *json.Encoder
	file   io.Closer
	totals Totals
	err    error
	// watcher is told each event; nil is none.
	watcher func(Seen)
}

// CreateRecord begins a record in a new file. It fails if the file exists, since evidence must not
// be overwritten.
func CreateRecord(path string, run Run) (*Record, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create record: %w", err)
	}
	r := NewRecord(file, run)
	r.file = file
	return r, nil
}

// NewRecord begins a record on a writer. The caller closes the writer.
func NewRecord(to io.Writer, run Run) *Record {
	r := &Record{to: bufio.NewWriterSize(to, 64<<10)}
	r.encode = json.NewEncoder(r.to)
	r.write(line{Run: &run})
	return r
}

// Sent records a message that was published. Close reports a write error.
func (r *Record) Sent(s Sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.Sent++
	r.totals.Retries += int64(s.Tries - 1)
	if s.Acknowledged {
		r.totals.Acknowledged++
	}
	if s.Duplicate {
		r.totals.Duplicates++
	}
	r.write(line{Sent: &s})
}

// watch calls tell with each event that is recorded from now on, one at a time.
func (r *Record) watch(tell func(Seen)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watcher = tell
}

// Seen records an event that was received. Close reports a write error.
func (r *Record) Seen(s Seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.Seen++
	r.write(line{Seen: &s})
	if r.watcher != nil {
		r.watcher(s)
	}
}

func (r *Record) write(l line) {
	if r.err == nil {
		r.err = r.encode.Encode(l)
	}
}

// Totals returns the counts so far.
func (r *Record) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totals
}

// Close writes the buffered lines, and returns the first write error. Nothing may be recorded
// after it.
func (r *Record) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.Join(r.err, r.to.Flush())
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// Follow records every event of the tenants, from the beginning of the stream, until the context
// ends. It continues after an outage of the bus. It fails if the name of a tenant is invalid.
func Follow(ctx context.Context, js jetstream.JetStream, record *Record, tenants []string, now func() time.Time) error {
	filters := make([]string, len(tenants))
	for i, tenant := range tenants {
		var err error
		if filters[i], err = messages.TenantEventFilter(tenant); err != nil {
			return fmt.Errorf("follow events: %w", err)
		}
	}
	for last := uint64(0); ; {
		last = followOnce(ctx, js, filters, last, func(msg jetstream.Msg) {
			if seen, ok := seenIn(msg, now()); ok {
				record.Seen(seen)
			}
		})
		if !retry.Sleep(ctx, retryPause) {
			return nil
		}
	}
}

// followOnce reads the messages after a sequence until an error, and returns the last sequence
// that it read.
func followOnce(
	ctx context.Context, js jetstream.JetStream, filters []string, last uint64, see func(jetstream.Msg),
) uint64 {
	if stream, err := js.Stream(ctx, messages.StreamEvents); err == nil && stream.CachedInfo().State.LastSeq < last {
		last = 0 // the stream was lost and made anew
	}
	consumer, err := js.OrderedConsumer(ctx, messages.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: last + 1,
	})
	if err != nil {
		return last
	}
	iterator, err := consumer.Messages()
	if err != nil {
		return last
	}
	defer iterator.Stop()
	defer context.AfterFunc(ctx, iterator.Stop)()
	for {
		msg, err := iterator.Next()
		if err != nil {
			return last
		}
		if meta, err := msg.Metadata(); err == nil {
			last = meta.Sequence.Stream
		}
		see(msg)
	}
}

// seenIn reads an event from a message; false if it is none, which the audit of the bus reports.
func seenIn(msg jetstream.Msg, at time.Time) (Seen, bool) {
	s := Seen{ID: msg.Headers().Get(messages.HeaderMessageID), BodyHash: sha256.Sum256(msg.Data()), At: at.UTC()}
	paymentID, version, _ := strings.Cut(s.ID, ":")
	var errID, errVersion, errSubject error
	s.PaymentID, errID = uuid.Parse(paymentID)
	s.Version, errVersion = strconv.ParseInt(version, 10, 64)
	_, s.Type, _, errSubject = messages.ParseEventSubject(msg.Subject())
	if event, err := messages.DecodeEventBody(msg.Data()); err == nil {
		if review, is := event.Data.(*messages.PaymentReviewOpened); is {
			s.OperationID = review.OperationID
		}
	}
	return s, errID == nil && errVersion == nil && errSubject == nil
}

// Recorded is a record read back.
type Recorded struct {
	Run
	Sent []Sent
	Seen []Seen
}

// ReadRecord reads a record into memory: about half a kilobyte for each command.
func ReadRecord(from io.Reader) (*Recorded, error) {
	decoder := json.NewDecoder(bufio.NewReaderSize(from, 64<<10))
	var r Recorded
	for n := 1; ; n++ {
		var l line
		err := decoder.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			return &r, nil
		case err != nil:
			return nil, fmt.Errorf("read record: entry %d: %w", n, err)
		case l.Run != nil:
			r.Run = *l.Run
		case l.Sent != nil:
			r.Sent = append(r.Sent, *l.Sent)
		case l.Seen != nil:
			r.Seen = append(r.Seen, *l.Seen)
		}
	}
}

// OpenRecord reads the record in a file.
func OpenRecord(path string) (*Recorded, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	defer func() { _ = file.Close() }() // the file was only read
	return ReadRecord(file)
}
