package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// Entry is one effect of the simulator. An operation has one at most; one that was declined, is
// pending or requires an action has none. The later reversal of an effect is an entry of its own,
// with the amounts under zero. Amounts are in minor units of Currency.
type Entry struct {
	// Sequence counts from 1 without gaps.
	Sequence    int64                  `json:"sequence"`
	At          time.Time              `json:"at"`
	OperationID string                 `json:"operation_id"`
	Kind        messages.OperationKind `json:"kind"`
	Tenant      string                 `json:"tenant"`
	PaymentID   uuid.UUID              `json:"payment_id"`
	// GatewayReference is the simulator's id of the effect, and AuthorizationReference that of the
	// authorization it belongs to.
	GatewayReference       string `json:"gateway_reference"`
	AuthorizationReference string `json:"authorization_reference"`
	Currency               string `json:"currency"`
	AuthorizedMinor        int64  `json:"authorized_minor,omitempty"`
	CapturedMinor          int64  `json:"captured_minor,omitempty"`
	ReleasedMinor          int64  `json:"released_minor,omitempty"`
	RefundedMinor          int64  `json:"refunded_minor,omitempty"`
	// Reversal says that the entry takes back the effect of OperationID. A reversed capture is
	// released: it cannot be captured again.
	Reversal bool `json:"reversal,omitempty"`
}

// PaymentTotals sums the effects for one payment, over all its authorizations, less the reversals.
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

// OperationCount counts the requests for an operation, and its effects, of which there must never
// be more than one.
type OperationCount struct {
	OperationID string    `json:"operation_id"`
	Tenant      string    `json:"tenant"`
	PaymentID   uuid.UUID `json:"payment_id"`
	// Requests and Lookups count since the simulator was started.
	Requests int `json:"requests"`
	Lookups  int `json:"lookups"`
	Effects  int `json:"effects"`
}

// Snapshot is the whole ledger at one moment.
type Snapshot struct {
	Entries []Entry `json:"entries"`
	// Payments and Operations are in the order of their ids, then of their tenants.
	Payments   []PaymentTotals  `json:"payments"`
	Operations []OperationCount `json:"operations"`
}

// Payment returns the totals of one payment, false if it never had an effect. Of several
// tenants' payments under one id it returns the first tenant's.
func (s Snapshot) Payment(id uuid.UUID) (PaymentTotals, bool) {
	i, found := slices.BinarySearchFunc(s.Payments, id, func(p PaymentTotals, id uuid.UUID) int {
		return slices.Compare(p.PaymentID[:], id[:])
	})
	if !found {
		return PaymentTotals{}, false
	}
	return s.Payments[i], true
}

// Operation returns the counts of one operation, false without a request for it. Of several
// tenants' operations under one id it returns the first tenant's.
func (s Snapshot) Operation(id string) (OperationCount, bool) {
	i, found := slices.BinarySearchFunc(s.Operations, id, func(o OperationCount, id string) int {
		return cmp.Compare(o.OperationID, id)
	})
	if !found {
		return OperationCount{}, false
	}
	return s.Operations[i], true
}
