package messages

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// SubjectCheckpoint is where checkpoints of the event store are published.
const SubjectCheckpoint = "payments.audit.checkpoint"

// Checkpoint says what the event store held at a moment: the root of a Merkle tree over everything
// recorded since the checkpoint before. The holder of a copy can prove later that the history it
// covers was changed.
type Checkpoint struct {
	// Number counts from 1 without gaps.
	Number int64
	// The checkpoint covers the events at positions above FromPosition, up to and including
	// ToPosition.
	FromPosition, ToPosition int64
	// Events and Payments are how many events it covers, of how many payments.
	Events, Payments int64
	// Root is the root of the tree, see package store.
	Root Hash
	// PreviousHash is the Hash of the checkpoint before; none for number 1.
	PreviousHash Hash
	CreatedAt    time.Time
}

// checkpointBody is the body of a checkpoint's message.
type checkpointBody struct {
	Number       int64     `json:"number"`
	FromPosition int64     `json:"from_position"`
	ToPosition   int64     `json:"to_position"`
	Events       int64     `json:"events"`
	Payments     int64     `json:"payments"`
	Root         Hash      `json:"root"`
	PreviousHash Hash      `json:"previous_hash,omitzero"`
	CreatedAt    eventTime `json:"created_at"`
}

// Body returns the body of the checkpoint's message. Equal checkpoints give equal bytes; CreatedAt
// is written in UTC with microseconds.
func (c Checkpoint) Body() []byte {
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(checkpointBody{
		Number: c.Number, FromPosition: c.FromPosition, ToPosition: c.ToPosition, Events: c.Events, Payments: c.Payments,
		Root: c.Root, PreviousHash: c.PreviousHash, CreatedAt: eventTime{c.CreatedAt},
	})
	if err != nil {
		panic("messages: numbers, hashes and a time must be valid JSON: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Hash returns the SHA-256 of the body, which the next checkpoint carries.
func (c Checkpoint) Hash() Hash { return sha256.Sum256(c.Body()) }

// CheckpointMessageID returns "checkpoint:<number>".
func CheckpointMessageID(c Checkpoint) string {
	return "checkpoint:" + strconv.FormatInt(c.Number, 10)
}

// EncodeCheckpoint returns what to publish for a checkpoint, on SubjectCheckpoint: CloudEvents 1.0
// in binary mode. The publisher adds Nats-Msg-Id, which is CheckpointMessageID and equals ce-id.
func EncodeCheckpoint(c Checkpoint) (header map[string]string, body []byte) {
	return map[string]string{
		HeaderCESpecVersion: cloudEventsVersion,
		HeaderCEID:          CheckpointMessageID(c),
		HeaderCEType:        "tender.audit.checkpoint.v1",
		HeaderCESource:      cloudEventsSource,
		HeaderCETime:        string(appendTime(nil, c.CreatedAt)),
		HeaderCESubject:     strconv.FormatInt(c.Number, 10),
		HeaderContentType:   contentTypeJSON,
	}, c.Body()
}

// DecodeCheckpoint reads the body of a checkpoint's message. It refuses what Body would not give,
// byte for byte: a checkpoint whose hash can't be computed again proves nothing.
func DecodeCheckpoint(body []byte) (Checkpoint, error) {
	var b checkpointBody
	if err := json.Unmarshal(body, &b); err != nil {
		return Checkpoint{}, fmt.Errorf("decode checkpoint: %w", err)
	}
	c := Checkpoint{
		Number: b.Number, FromPosition: b.FromPosition, ToPosition: b.ToPosition, Events: b.Events, Payments: b.Payments,
		Root: b.Root, PreviousHash: b.PreviousHash, CreatedAt: b.CreatedAt.UTC(),
	}
	if c.Number < 1 || c.CreatedAt.IsZero() || !bytes.Equal(c.Body(), body) {
		return Checkpoint{}, fmt.Errorf("decode checkpoint: it is not written as checkpoints of this version are")
	}
	return c, nil
}
