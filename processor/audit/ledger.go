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
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// Ledgers returns the ledgers of all gateways, by the names that Tender knows them by, as of now.
type Ledgers func(context.Context) (map[string]sim.Snapshot, error)

// FetchLedger reads the ledger of a simulator over HTTP. url is its base, such as http://127.0.0.1:8585.
func FetchLedger(ctx context.Context, client *http.Client, url string) (sim.Snapshot, error) {
	var ledger sim.Snapshot
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+sim.PathLedger, http.NoBody)
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

// effect is what one gateway did for one operation.
type effect struct {
	operationID, gateway, tenant, currency string
	kind                                   messages.OperationKind
	// times is how often it took effect, and early says that it had when the payments were read.
	times int
	early bool
	moved amounts
	// reversed is how much of it was taken back, and overdue how much of that must be recorded by now.
	reversed, overdue int64
}

// gross is what the operation was for, as far as the gateway did it.
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

// net is what the operation moved once what was taken back is deducted. reversed is how much that is, for the one who asks.
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

// agreedReversal is how much is to be taken as reversed when a payment is compared whose operation says that recorded is:
// what the gateway has taken back a moment ago may not have been told yet.
func (e *effect) agreedReversal(op *payment.Operation) int64 {
	recorded := int64(0)
	if op != nil {
		recorded = op.ReversedMinor
	}
	return max(e.overdue, min(e.reversed, recorded))
}

// ledgerBooks are the ledgers of all gateways, by payment.
type ledgerBooks map[uuid.UUID][]*effect

// merge puts two looks at the ledgers together: early was taken before the payments were read, late after.
func merge(early, late map[string]sim.Snapshot, reversalsBefore time.Time) ledgerBooks {
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

func (b ledgerBooks) effect(gateway string, entry *sim.Entry) *effect {
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
