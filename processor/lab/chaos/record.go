package chaos

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
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

// Run is the first line of a record: what the commands follow from.
type Run struct {
	Seed    uint64    `json:"seed"`
	Tenants []string  `json:"tenants"`
	Began   time.Time `json:"began"`
}

// Sent is one message that the client published, from the first try until it was acknowledged or given up.
type Sent struct {
	// Number is the command's place in the plan, from 0; a message that is sent again has that of the first.
	Number  int                  `json:"number"`
	Tenant  string               `json:"tenant"`
	Command messages.CommandName `json:"command"`
	// PaymentID, Key and PayloadHash are what Tender will read from it; zero if it can't be read, which DeadLetter then says.
	PaymentID   uuid.UUID `json:"payment_id,omitzero"`
	Key         string    `json:"key,omitempty"`
	PayloadHash Hash      `json:"payload_hash,omitzero"`
	CommandID   string    `json:"command_id,omitempty"`
	Subject     string    `json:"subject"`
	MessageID   string    `json:"message_id,omitempty"`
	BodyHash    Hash      `json:"body_hash"`
	// DeadLetter is the reason of the dead letter that it must become; "" for a command that can be read.
	DeadLetter string `json:"dead_letter,omitempty"`
	// Copy is "" for a first message, "again" for one that repeats it, "replay" for one that repeats it long after.
	Copy string `json:"copy,omitempty"`
	// At is when it was first published; Tries how often, under the same message id; Error what went wrong last.
	At    time.Time `json:"at"`
	Tries int       `json:"tries"`
	Error string    `json:"error,omitempty"`
	// Acknowledged says that JetStream stored it, at Sequence of Stream, or that it had (Duplicate).
	Acknowledged   bool      `json:"acknowledged"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	Stream         string    `json:"stream,omitempty"`
	Sequence       uint64    `json:"sequence,omitempty"`
	Duplicate      bool      `json:"duplicate,omitempty"`
}

// Seen is one event that came to the client.
type Seen struct {
	ID        string             `json:"id"`
	PaymentID uuid.UUID          `json:"payment_id"`
	Version   int64              `json:"version"`
	Type      messages.EventType `json:"type"`
	BodyHash  Hash               `json:"body_hash"`
	At        time.Time          `json:"at"`
}

// Totals count what a record holds.
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

// Record is what a client did and saw, written as lines of JSON while it happens: evidence that owes nothing to the system
// under test. It keeps no more than counters in memory, and may be used by many goroutines.
type Record struct {
	mu     sync.Mutex
	to     *bufio.Writer
	encode *json.Encoder
	file   io.Closer
	totals Totals
	err    error
}

// CreateRecord begins a record in a new file; it fails if there is one already, since evidence is not overwritten.
func CreateRecord(path string, run Run) (*Record, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create record: %w", err)
	}
	r := NewRecord(file, run)
	r.file = file
	return r, nil
}

// NewRecord begins a record on a writer, which stays the caller's.
func NewRecord(to io.Writer, run Run) *Record {
	r := &Record{to: bufio.NewWriterSize(to, 64<<10)}
	r.encode = json.NewEncoder(r.to)
	r.write(line{Run: &run})
	return r
}

// Sent notes a message that was published. What can't be written is reported by Close.
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

// Seen notes an event that came. What can't be written is reported by Close.
func (r *Record) Seen(s Seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.Seen++
	r.write(line{Seen: &s})
}

func (r *Record) write(l line) {
	if r.err == nil {
		r.err = r.encode.Encode(l)
	}
}

// Totals returns what was noted so far.
func (r *Record) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.totals
}

// Close writes what is left, and returns the first error that any writing met. Nothing may be noted after it.
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
	defer func() { _ = file.Close() }() // It was only read.
	return ReadRecord(file)
}
