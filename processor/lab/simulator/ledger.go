package simulator

import (
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// AuditLedger returns a simulator's ledger as the audit reads it from PathLedger, for a simulator
// in the same process.
func AuditLedger(s sim.Snapshot) audit.Ledger {
	var ledger audit.Ledger
	for _, e := range s.Entries {
		ledger.Entries = append(ledger.Entries, audit.LedgerEntry{
			At: e.At, OperationID: e.OperationID, Kind: e.Kind, Tenant: e.Tenant, PaymentID: e.PaymentID, Currency: e.Currency,
			AuthorizedMinor: e.AuthorizedMinor, CapturedMinor: e.CapturedMinor,
			ReleasedMinor: e.ReleasedMinor, RefundedMinor: e.RefundedMinor, Reversal: e.Reversal,
		})
	}
	for _, o := range s.Operations {
		ledger.Operations = append(ledger.Operations, audit.LedgerOperation{
			OperationID: o.OperationID, Requests: o.Requests, Lookups: o.Lookups, Effects: o.Effects,
		})
	}
	return ledger
}
