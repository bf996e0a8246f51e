package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// Entry is one effect that the simulator really had. An operation has one at most; what was declined, is pending or requires an
// action has none. When an effect is taken back later, that is an entry of its own, a reversal, with the amounts under zero. Amounts
// are in minor units of Currency.
type Entry struct {
	// Sequence counts from 1 without gaps.
	Sequence    int64                  `json:"sequence"`
	At          time.Time              `json:"at"`
	OperationID string                 `json:"operation_id"`
	Kind        messages.OperationKind `json:"kind"`
	Tenant      string                 `json:"tenant"`
	PaymentID   uuid.UUID              `json:"payment_id"`
	// GatewayReference is the simulator's id of the effect, and AuthorizationReference that of the authorization it belongs to.
	GatewayReference       string `json:"gateway_reference"`
	AuthorizationReference string `json:"authorization_reference"`
	Currency               string `json:"currency"`
	AuthorizedMinor        int64  `json:"authorized_minor,omitempty"`
	CapturedMinor          int64  `json:"captured_minor,omitempty"`
	ReleasedMinor          int64  `json:"released_minor,omitempty"`
	RefundedMinor          int64  `json:"refunded_minor,omitempty"`
	// Reversal says that the entry takes back what OperationID did. A capture that was reversed is released: it can't be captured
	// again.
	Reversal bool `json:"reversal,omitempty"`
}

// PaymentTotals is what was done for one payment, over all its authorizations, less what was reversed.
type PaymentTotals struct {
	PaymentID       uuid.UUID `json:"payment_id"`
	Tenant          string    `json:"tenant"`
	Currency        string    `json:"currency"`
	AuthorizedMinor int64     `json:"authorized_minor"`
	CapturedMinor   int64     `json:"captured_minor"`
	ReleasedMinor   int64     `json:"released_minor"`
	RefundedMinor   int64     `json:"refunded_minor"`
	// Effects counts the payment's entries that are no reversals.
	Effects   int `json:"effects"`
	Reversals int `json:"reversals,omitempty"`
}

// OperationCount is how often an operation was asked for and how often it took effect, which must never be more than once.
type OperationCount struct {
	OperationID string    `json:"operation_id"`
	PaymentID   uuid.UUID `json:"payment_id"`
	// Requests and Lookups count since the simulator was started.
	Requests int `json:"requests"`
	Lookups  int `json:"lookups"`
	Effects  int `json:"effects"`
}

// Snapshot is everything the simulator did, as of one moment.
type Snapshot struct {
	Entries []Entry `json:"entries"`
	// Payments and Operations are in the order of their ids.
	Payments   []PaymentTotals  `json:"payments"`
	Operations []OperationCount `json:"operations"`
}

// Payment returns the totals of one payment, false if nothing was ever done for it.
func (s Snapshot) Payment(id uuid.UUID) (PaymentTotals, bool) {
	i, found := slices.BinarySearchFunc(s.Payments, id, func(p PaymentTotals, id uuid.UUID) int {
		return slices.Compare(p.PaymentID[:], id[:])
	})
	if !found {
		return PaymentTotals{}, false
	}
	return s.Payments[i], true
}

// Operation returns the counts of one operation, false if it was never asked for.
func (s Snapshot) Operation(id string) (OperationCount, bool) {
	i, found := slices.BinarySearchFunc(s.Operations, id, func(o OperationCount, id string) int {
		return cmp.Compare(o.OperationID, id)
	})
	if !found {
		return OperationCount{}, false
	}
	return s.Operations[i], true
}
