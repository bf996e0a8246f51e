package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Claim is the use of an idempotency key, recorded with the answer of the command that used it.
type Claim struct {
	// Tenant, Command and Key are the scope of the key. All are required.
	Tenant  string
	Command messages.CommandName
	Key     string
	// PayloadHash is the hash of the command that claims the key.
	PayloadHash [sha256.Size]byte
	// ConflictHash is nil for the claim of the key itself. The refusal of a command that used a
	// claimed key for something else is claimed under [ConflictHash] of that command.
	ConflictHash []byte
	// OperationID is the operation that the command started, "" if none.
	OperationID string
	// Rejected says that the command was refused.
	Rejected bool
}

// ConflictHash identifies a command that uses a key which another one has claimed. The payment's id
// is part of it: the same create sent for two payments is two conflicting commands.
func ConflictHash(payloadHash [sha256.Size]byte, paymentID uuid.UUID) []byte {
	h := sha256.New()
	h.Write(payloadHash[:])
	h.Write(paymentID[:])
	return h.Sum(nil)
}

// Change is what follows from one decision, to be written together or not at all.
type Change struct {
	// Payment is the state after Events. Commit sets its LastHash.
	Payment *payment.Payment
	// ExpectedVersion is the version that was decided on: the payment's version before Events, 0
	// for a new payment.
	ExpectedVersion int64
	// Events are at least one. They are written with the hash of the one before each, and left as
	// they are.
	Events []messages.Event
	// Claim is the command's use of its key; nil if the change answers no command, or one that was
	// answered before.
	Claim *Claim
	// PreviousDueAt is what DueAt of the payment was before Events: a timer that stays as it was
	// costs nothing.
	PreviousDueAt time.Time
	// PreviousHash is LastHash of the payment before Events, which makes a change the same however
	// often it is committed. None is looked up.
	PreviousHash messages.Hash
}

// check finds changes that contradict themselves, which are bugs of the caller.
func (c *Change) check() error {
	switch {
	case c.Payment == nil || len(c.Events) == 0:
		return fmt.Errorf("a change without a payment or without events")
	case c.ExpectedVersion+int64(len(c.Events)) != c.Payment.Version:
		return fmt.Errorf("%d events after version %d do not lead to version %d",
			len(c.Events), c.ExpectedVersion, c.Payment.Version)
	}
	for i := range c.Events {
		e := &c.Events[i]
		if e.Version != c.ExpectedVersion+int64(i)+1 || e.PaymentID != c.Payment.ID || e.Tenant != c.Payment.Tenant {
			return fmt.Errorf("event %d of payment %s has no place after version %d", e.Version, e.PaymentID, c.ExpectedVersion)
		}
	}
	if claim := c.Claim; claim != nil && (claim.Tenant != c.Payment.Tenant || claim.Key == "" || claim.Command == "") {
		return fmt.Errorf("the claim of key %q belongs to another tenant, or to no command", claim.Key)
	}
	return nil
}

// entry is a Change on its way, encoded by the goroutine that waits for it so that the committers
// needn't.
type entry struct {
	row      PaymentRow
	claim    *claimRow
	events   []eventRow
	lastHash messages.Hash // of the last event
	messages []outbox.Message
	// orderingKey is that of all messages.
	orderingKey string
	dueAt       time.Time // zero: none
	timer       timerChange
	keyNames    []string
	bytes       int
	done        chan error // receives exactly one answer once the entry was taken
}

type timerChange int

const (
	timerStays timerChange = iota
	timerSet
	timerDeleted
)

func (e *entry) keys() []string { return e.keyNames }

func (e *entry) size() int { return e.bytes }

// settle answers the waiting caller.
func (e *entry) settle(err error) { e.done <- err }

func newEntry(c *Change) (*entry, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e := &entry{
		keyNames: []string{string(c.Payment.ID[:])}, orderingKey: c.Payment.ID.String(), done: make(chan error, 1),
	}
	if err := e.setEvents(c.Events, c.PreviousHash); err != nil {
		return nil, err
	}
	c.Payment.LastHash = e.lastHash
	state := c.Payment.AppendJSON(make([]byte, 0, stateSize))
	e.row = NewPaymentRow(c.Payment, c.ExpectedVersion, state)
	e.bytes += len(state)
	e.setTimer(c.Payment.DueAt(c.Payment.UpdatedAt), c.PreviousDueAt)
	if c.Claim != nil {
		e.setClaim(c.Claim)
	}
	return e, nil
}

// stateSize is about what the state of a payment takes.
const stateSize = 1200

func (e *entry) setTimer(dueAt, previous time.Time) {
	switch e.dueAt = dueAt; {
	case dueAt.Equal(previous):
		e.timer = timerStays
	case dueAt.IsZero():
		e.timer = timerDeleted
	default:
		e.timer = timerSet
	}
}

func (e *entry) setClaim(c *Claim) {
	outcome := outcomeAccepted
	if c.Rejected {
		outcome = outcomeRejected
	}
	e.claim = &claimRow{
		tenant: c.Tenant, command: string(c.Command), key: c.Key, operationID: c.OperationID, outcome: outcome,
		conflictHash: append([]byte{}, c.ConflictHash...), payloadHash: bytes.Clone(c.PayloadHash[:]),
		paymentID: e.row.ID, version: e.row.Version,
	}
	e.keyNames = append(e.keyNames, e.claim.name())
}

// setEvents encodes the events once, each with the hash of the one before it: the same bytes go
// into the history and onto the bus.
func (e *entry) setEvents(events []messages.Event, previous messages.Hash) error {
	e.events = make([]eventRow, len(events))
	for i, event := range events {
		event.PreviousHash = previous
		subject, header, body, err := messages.EncodeEvent(event)
		if err != nil {
			return fmt.Errorf("encode event %d: %w", event.Version, err)
		}
		e.events[i] = eventRow{
			paymentID: event.PaymentID, version: event.Version, occurredAt: event.OccurredAt,
			eventType: string(event.Type()), traceparent: event.Traceparent, data: body,
		}
		previous = messages.EventHash(event.Traceparent, body)
		e.bytes += len(body)
		if !event.Type().Published() {
			continue
		}
		e.bytes += len(body)
		e.messages = append(e.messages, outbox.Message{
			Subject: subject, ID: messages.EventMessageID(event), OrderingKey: e.orderingKey,
			Header: header, Payload: body,
		})
	}
	e.lastHash = previous
	return nil
}
