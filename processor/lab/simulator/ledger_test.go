package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

// TestTheAuditReadsTheLedger has every amount in the ledger, a reversal, and lookups.
func TestTheAuditReadsTheLedger(t *testing.T) {
	t.Parallel()
	r := receive(t)
	s := newSimulator(t, r.config())
	p := gatewaytest.NewPayment()
	p.Reference = s.Do(t.Context(), p.Authorize("pm_card_refundFail", 1000)).GatewayReference
	gatewaytest.Want(t, s.Do(t.Context(), p.CaptureFinally(600)), messages.OutcomeSucceeded)
	refund := p.Refund(100)
	gatewaytest.Want(t, s.Do(t.Context(), refund), messages.OutcomeSucceeded)
	gatewaytest.Want(t, s.Lookup(t.Context(), refund), messages.OutcomeSucceeded)
	for range 4 { // three operations and the reversal
		<-r.taken
	}
	server := httptest.NewServer(s.Handler(""))
	t.Cleanup(server.Close)
	got, err := audit.FetchLedger(t.Context(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, server.URL+"/")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(simulator.AuditLedger(s.Snapshot()), got); diff != "" {
		t.Errorf("the ledger over HTTP differs (-own +fetched):\n%s", diff)
	}
	want := audit.LedgerEntry{
		At: got.Entries[3].At, OperationID: refund.ID, Kind: messages.OperationRefund, Tenant: refund.Tenant, PaymentID: p.ID(),
		Currency: refund.Currency, RefundedMinor: -100, Reversal: true,
	}
	if diff := cmp.Diff(want, got.Entries[3]); diff != "" || got.Entries[1].ReleasedMinor != 400 {
		t.Errorf("the entries are %+v (-want +got):\n%s", got.Entries, diff)
	}
	last := audit.LedgerOperation{OperationID: refund.ID, Requests: 1, Lookups: 1, Effects: 1}
	if diff := cmp.Diff(last, got.Operations[len(got.Operations)-1]); diff != "" {
		t.Errorf("the counts differ (-want +got):\n%s", diff)
	}
}

func TestTheAuditReadsAnEmptyLedger(t *testing.T) {
	t.Parallel()
	if got := simulator.AuditLedger(sim.Snapshot{}); len(got.Entries) != 0 || len(got.Operations) != 0 {
		t.Errorf("%+v", got)
	}
}
