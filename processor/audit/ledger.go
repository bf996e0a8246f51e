package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// Ledger is a gateway's own account of its effects and of the requests for them. Its JSON is the
// part that the audit needs of the document that `tender simulator` serves at /v1/ledger.
type Ledger struct {
	Entries    []LedgerEntry     `json:"entries"`
	Operations []LedgerOperation `json:"operations"`
}

// LedgerEntry is one effect of an operation at a gateway, or the reversal of one. Amounts are in
// minor units of Currency. An operation that was declined, is pending or requires an action has no
// entry.
type LedgerEntry struct {
	// At is the time of the effect, by the gateway's clock.
	At time.Time `json:"at"`
	// OperationID, Kind, Tenant, PaymentID and Currency are those of the operation that Tender
	// sent.
	OperationID string                 `json:"operation_id"`
	Kind        messages.OperationKind `json:"kind"`
	Tenant      string                 `json:"tenant"`
	PaymentID   uuid.UUID              `json:"payment_id"`
	Currency    string                 `json:"currency"`
	// The amounts are those that the gateway moved, which need not be the ones it was asked for.
	// Those of a reversal are under zero, except for the amount that a reversed capture releases.
	AuthorizedMinor int64 `json:"authorized_minor,omitempty"`
	CapturedMinor   int64 `json:"captured_minor,omitempty"`
	ReleasedMinor   int64 `json:"released_minor,omitempty"`
	RefundedMinor   int64 `json:"refunded_minor,omitempty"`
	// Reversal says that the entry takes back the effect of OperationID.
	Reversal bool `json:"reversal,omitempty"`
}

// LedgerOperation counts the requests to a gateway for one operation, and their effects. Requests
// and Lookups begin anew when the gateway's process starts; Effects are those of the ledger.
type LedgerOperation struct {
	OperationID string `json:"operation_id"`
	Requests    int    `json:"requests"`
	Lookups     int    `json:"lookups"`
	Effects     int    `json:"effects"`
}

// Ledgers reads the ledgers of all gateways, by the names that Tender knows them by, as of now.
type Ledgers func(context.Context) (map[string]Ledger, error)

// ledgerPath is the path of a simulator's ledger.
const ledgerPath = "/v1/ledger"

// FetchLedger reads the ledger of a simulator over HTTP. url is its base, such as
// http://127.0.0.1:8585.
func FetchLedger(ctx context.Context, client *http.Client, url string) (Ledger, error) {
	var ledger Ledger
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+ledgerPath, http.NoBody)
	if err != nil {
		return ledger, fmt.Errorf("fetch ledger: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return ledger, fmt.Errorf("fetch ledger: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return ledger, fmt.Errorf("fetch ledger: %s answers %s", request.URL.Redacted(), response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&ledger); err != nil {
		return ledger, fmt.Errorf("fetch ledger: read what %s answers: %w", request.URL.Redacted(), err)
	}
	return ledger, nil
}

// amounts are sums of money, in minor units of one currency.
type amounts struct{ authorized, captured, released, refunded int64 }

func (a *amounts) add(b amounts) {
	a.authorized += b.authorized
	a.captured += b.captured
	a.released += b.released
	a.refunded += b.refunded
}

// effect is the effect of one operation at one gateway.
type effect struct {
	operationID, gateway, tenant, currency string
	kind                                   messages.OperationKind
	// times counts the times that it took effect; early says that it had before the payments were
	// read.
	times int
	early bool
	moved amounts
	// reversed is the amount that was taken back, overdue the part of that which must be recorded
	// by now.
	reversed, overdue int64
}

// gross is the amount of the operation that the gateway moved.
func (e *effect) gross() int64 {
	switch e.kind {
	case messages.OperationCapture:
		return e.moved.captured
	case messages.OperationRefund:
		return e.moved.refunded
	case messages.OperationVoid:
		return e.moved.released
	default:
		return e.moved.authorized
	}
}

// net returns the amounts that the operation moved, less the reversed amount.
func (e *effect) net(reversed int64) amounts {
	sum := e.moved
	if e.kind == messages.OperationRefund {
		sum.refunded -= reversed
	} else {
		sum.captured -= reversed
		sum.released += reversed
	}
	return sum
}

// agreedReversal is the amount to take as reversed in a comparison with an operation of which so
// much is recorded as taken back. Tender may not have heard yet of a reversal from a moment ago.
func (e *effect) agreedReversal(recorded int64) int64 {
	return max(e.overdue, min(e.reversed, recorded))
}

// ledgerBooks are the ledgers of all gateways, by payment.
type ledgerBooks map[uuid.UUID][]*effect

// merge joins two readings of the ledgers: early from before the payments were read, late from
// after that.
func merge(early, late map[string]Ledger, reversalsBefore time.Time) ledgerBooks {
	all := ledgerBooks{}
	known := map[string]struct{}{}
	for gateway := range early {
		for i := range early[gateway].Entries {
			known[gateway+"\x00"+early[gateway].Entries[i].OperationID] = struct{}{}
		}
	}
	for gateway := range late {
		for i := range late[gateway].Entries {
			entry := &late[gateway].Entries[i]
			e := all.effect(gateway, entry)
			if _, e.early = known[gateway+"\x00"+entry.OperationID]; !entry.Reversal {
				e.times++
				e.moved.add(amounts{entry.AuthorizedMinor, entry.CapturedMinor, entry.ReleasedMinor, entry.RefundedMinor})
				continue
			}
			amount := -entry.CapturedMinor - entry.RefundedMinor
			e.reversed += amount
			if reversalsBefore.IsZero() || entry.At.Before(reversalsBefore) {
				e.overdue += amount
			}
		}
	}
	return all
}

func (b ledgerBooks) effect(gateway string, entry *LedgerEntry) *effect {
	for _, e := range b[entry.PaymentID] {
		if e.gateway == gateway && e.operationID == entry.OperationID {
			return e
		}
	}
	e := &effect{
		operationID: entry.OperationID, gateway: gateway, tenant: entry.Tenant, currency: entry.Currency, kind: entry.Kind,
	}
	b[entry.PaymentID] = append(b[entry.PaymentID], e)
	return e
}
