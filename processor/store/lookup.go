package store

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Key says what a command needs to know.
type Key struct {
	PaymentID uuid.UUID
	Tenant    string
	// Command and IdempotencyKey are the scope of the command's claim; an empty key asks for no
	// claim.
	Command        messages.CommandName
	IdempotencyKey string
	// ConflictHash is [ConflictHash] of the command, to find out whether it was refused as a
	// conflict before; may be nil.
	ConflictHash []byte
}

// Loaded is what is known when a command comes in, all of it as of one moment.
type Loaded struct {
	// Payment is the payment as it stands, and the caller's to change; its Version is 0 if there is
	// none.
	Payment *payment.Payment
	// Claim is the first use of the idempotency key, whichever payment it was for; nil if the key
	// is unused.
	Claim *RecordedClaim
	// Conflict is the refusal of this very command because of Claim; nil if it wasn't refused yet.
	Conflict *RecordedClaim
}

// RecordedClaim is a claim as it was recorded.
type RecordedClaim struct {
	// PaymentID is the payment with the answer, and Version the version of the last event of it.
	PaymentID   uuid.UUID
	Version     int64
	PayloadHash [sha256.Size]byte
	OperationID string
	Rejected    bool
}

// lookup is a Load on its way. The loader fills in the row, the waiting goroutine decodes it.
type lookup struct {
	key    Key
	row    lookupRow
	loaded Loaded
	done   chan error // receives exactly one answer once the lookup was taken
}

func (l *lookup) keys() []string { return nil }

func (l *lookup) size() int { return 1 }

func (l *lookup) settle(err error) { l.done <- err }

// lookupRow is a row of load.sql.
type lookupRow struct {
	position        int64
	tenant          pgtype.Text
	state           []byte
	claim, conflict lookupClaim
}

type lookupClaim struct {
	paymentID   pgtype.UUID
	payloadHash []byte
	version     pgtype.Int8
	operationID pgtype.Text
	outcome     pgtype.Text
}

func (c *lookupClaim) targets() []any {
	return []any{&c.paymentID, &c.payloadHash, &c.version, &c.operationID, &c.outcome}
}

func (c *lookupClaim) recorded() *RecordedClaim {
	if !c.paymentID.Valid {
		return nil
	}
	return &RecordedClaim{
		PaymentID: c.paymentID.Bytes, Version: c.version.Int64, PayloadHash: [sha256.Size]byte(c.payloadHash),
		OperationID: c.operationID.String, Rejected: c.outcome.String == outcomeRejected,
	}
}

func (l *lookup) decode() error {
	l.loaded = Loaded{
		Payment: &payment.Payment{}, Claim: l.row.claim.recorded(), Conflict: l.row.conflict.recorded(),
	}
	if l.row.state == nil {
		return nil
	}
	if l.row.tenant.String != l.key.Tenant {
		return ErrOtherTenant
	}
	if err := json.Unmarshal(l.row.state, l.loaded.Payment); err != nil {
		return fmt.Errorf("decode state: %w", err)
	}
	return nil
}

func scanLookups(rows pgx.Rows, lookups []*lookup) error {
	var row lookupRow
	targets := append([]any{&row.position, &row.tenant, &row.state}, row.claim.targets()...)
	targets = append(targets, row.conflict.targets()...)
	found := 0
	for rows.Next() {
		row = lookupRow{}
		if err := rows.Scan(targets...); err != nil {
			return fmt.Errorf("scan payment: %w", err)
		}
		lookups[row.position-1].row = row
		found++
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if found != len(lookups) {
		return errors.New("a payment was asked for and not answered")
	}
	return nil
}
