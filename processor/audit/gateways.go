package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// GatewayOptions tunes Gateways. Zero values mean the defaults.
type GatewayOptions struct {
	// FindingsMax bounds Report.Findings; 0 means 100. All violations are counted whatever it is.
	FindingsMax int
	// ReversalsBefore is when what a gateway took back must have been recorded; zero means that all of it must. A gateway
	// tells of a reversal afterwards, so on a live system the latest may be on their way.
	ReversalsBefore time.Time
}

// GatewayReport is the result of Gateways.
type GatewayReport struct {
	Report
	// Payments and Operations are how many were compared, Effects how many effects the ledgers hold, Requests how often the
	// gateways were asked, lookups included.
	Payments   int64 `json:"payments"`
	Operations int64 `json:"operations"`
	Effects    int64 `json:"effects"`
	Requests   int64 `json:"requests"`
}

// Gateways holds the ledgers of all gateways against the payments: an operation takes effect once at most, wherever; nothing
// was done that is not recorded; what is recorded as done is in the ledger, and what is recorded as failed is not; and the sums
// agree, unless something is open, when they lie within what is reserved for it.
//
// It may run while payments are processed: the ledgers are read before the payments and after them, and what came in between is
// nobody's mistake. The ledgers are held in memory, the payments are not. A gateway that is missing among the ledgers is as one
// that did nothing, which is found out.
//
// An error means that the comparison could not be completed, not that something is wrong.
func Gateways(ctx context.Context, db store.DB, ledgers Ledgers, o GatewayOptions) (GatewayReport, error) {
	a := &gatewayAudit{tally: newTally(o.FindingsMax)}
	err := a.run(ctx, db, ledgers, o)
	a.report.Report = a.result()
	if err != nil {
		return a.report, fmt.Errorf("compare the gateways with the payments: %w", err)
	}
	return a.report, nil
}

// gatewayAudit is one run of Gateways.
type gatewayAudit struct {
	*tally
	report GatewayReport
	books  ledgerBooks
}

func (a *gatewayAudit) run(ctx context.Context, db store.DB, ledgers Ledgers, o GatewayOptions) error {
	early, err := ledgers(ctx)
	if err != nil {
		return err
	}
	return books.AtOneMoment(ctx, db, func(now *books.Moment) error {
		late, err := ledgers(ctx)
		if err != nil {
			return err
		}
		a.books = merge(early, late, o.ReversalsBefore)
		for name := range late {
			for _, op := range late[name].Operations {
				// A simulator forgets with its process how often it was asked, and never what it did.
				a.report.Requests += int64(max(op.Requests, op.Effects)) + int64(op.Lookups)
			}
		}
		if err := now.Payments(ctx, func(p *payment.Payment) error {
			a.compare(p, a.books[p.ID])
			delete(a.books, p.ID)
			return nil
		}); err != nil {
			return err
		}
		for paymentID, effects := range a.books {
			a.strangers(paymentID, effects)
		}
		return nil
	})
}

// strangers are effects for payments that are not there.
func (a *gatewayAudit) strangers(paymentID uuid.UUID, effects []*effect) {
	for _, e := range effects {
		a.report.Effects += int64(e.times)
		if e.early {
			a.found(GatewayRecorded, paymentID, "operation %s took effect at %s; there is no such payment", e.operationID, e.gateway)
		}
	}
}

// compare holds one payment against what the gateways did for it.
func (a *gatewayAudit) compare(p *payment.Payment, effects []*effect) {
	a.report.Payments++
	a.report.Operations += int64(len(p.Operations))
	for _, e := range effects {
		a.report.Effects += int64(e.times)
		a.compareEffect(p, e)
	}
	a.compareOnce(p, effects)
	for i := range p.Operations {
		a.compareOperation(p, &p.Operations[i], effects)
	}
	a.compareUnknown(p)
	if len(effects) > 0 {
		a.checked(GatewayLimits, 1)
		if problem := brokenLimit(p, effects); problem != "" {
			a.found(GatewayLimits, p.ID, "%s", problem)
		}
	}
	if p.Created() {
		a.checked(GatewaySums, 1)
		if problem := differingSums(p, effects); problem != "" {
			a.found(GatewaySums, p.ID, "%s", problem)
		}
	}
}

// compareEffect looks for the operation that an effect belongs to.
func (a *gatewayAudit) compareEffect(p *payment.Payment, e *effect) {
	a.checked(GatewayRecorded, 1)
	op := p.Operation(e.operationID)
	switch {
	case op == nil && e.early:
		a.found(GatewayRecorded, p.ID, "operation %s took effect at %s and is not recorded", e.operationID, e.gateway)
	case op == nil:
		// It was made since the payments were read.
	case op.Gateway != e.gateway:
		a.found(GatewayRecorded, p.ID, "operation %s took effect at %s and is recorded at %s", e.operationID, e.gateway, op.Gateway)
	case op.Kind != e.kind || p.Tenant != e.tenant || p.Currency != e.currency:
		a.found(GatewayRecorded, p.ID, "operation %s is a %s in %s of %s at %s, and is recorded as a %s in %s of %s",
			e.operationID, e.kind, e.currency, e.tenant, e.gateway, op.Kind, p.Currency, p.Tenant)
	}
}

// compareOnce looks for what was done twice: one operation, or one payment's authorization at two gateways.
func (a *gatewayAudit) compareOnce(p *payment.Payment, effects []*effect) {
	times := map[string]int{}
	var at []string
	for _, e := range effects {
		times[e.operationID] += e.times
		if e.moved.authorized > 0 && (len(at) == 0 || at[0] != e.gateway) {
			at = append(at, e.gateway)
		}
	}
	a.checked(GatewayOnce, int64(len(times)))
	for operationID, n := range times {
		if n > 1 {
			a.found(GatewayOnce, p.ID, "operation %s took effect %d times", operationID, n)
		}
	}
	if len(at) > 1 {
		a.found(GatewayOnce, p.ID, "the payment is authorized at more than one gateway: %s", at)
	}
}

// compareOperation holds what is recorded of an operation against the ledger of its gateway.
func (a *gatewayAudit) compareOperation(p *payment.Payment, op *payment.Operation, effects []*effect) {
	switch op.Status {
	case payment.OperationSucceeded:
		a.checked(LedgerComplete, 1)
		if problem := missingEffect(op, find(effects, completion(p, op))); problem != "" {
			a.found(LedgerComplete, p.ID, "%s %s at %s %s", op.Kind, op.ID, op.Gateway, problem)
		}
	case payment.OperationFailed:
		a.checked(UnknownIsNotFailed, 1)
		for _, e := range effects {
			if e.operationID == op.ID && e.gross()-e.reversed > 0 {
				a.found(UnknownIsNotFailed, p.ID, "%s %s is recorded as failed and moved %d at %s",
					op.Kind, op.ID, e.gross()-e.reversed, e.gateway)
			}
		}
	case payment.OperationSent, payment.OperationNotSent, payment.OperationRequiresAction, payment.OperationUnknown,
		payment.OperationManualReview:
	}
}

// completion is the operation that did what op asked for: a later confirm, if the customer had to act first, else op itself.
func completion(p *payment.Payment, op *payment.Operation) *payment.Operation {
	if op.Kind != messages.OperationAuthorize {
		return op
	}
	after := false
	for i := range p.Operations {
		next := &p.Operations[i]
		if after && next.Kind == messages.OperationConfirm && next.Status == payment.OperationSucceeded && next.Gateway == op.Gateway {
			return next
		}
		after = after || next.ID == op.ID
	}
	return op
}

func find(effects []*effect, op *payment.Operation) *effect {
	for _, e := range effects {
		if e.operationID == op.ID && e.gateway == op.Gateway {
			return e
		}
	}
	return nil
}

func missingEffect(op *payment.Operation, e *effect) string {
	switch {
	case op.Kind == messages.OperationVoid && op.Expires != "":
		return "" // It may have found nothing left to release.
	case e == nil || e.times == 0:
		return "is recorded as succeeded and is not in the ledger"
	case op.Kind != messages.OperationVoid && e.gross() != op.AmountMinor:
		return fmt.Sprintf("is recorded for %d and is in the ledger for %d", op.AmountMinor, e.gross())
	default:
		return ""
	}
}

// compareUnknown looks for an authorization that was made elsewhere while it is not known what became of one.
func (a *gatewayAudit) compareUnknown(p *payment.Payment) {
	var open *payment.Operation
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Kind != messages.OperationAuthorize {
			continue
		}
		if open != nil && op.Gateway != open.Gateway {
			a.found(UnknownIsNotFailed, p.ID, "authorization %s at %s is %s, and %s was made at %s",
				open.ID, open.Gateway, open.Status, op.ID, op.Gateway)
		}
		if op.Status == payment.OperationUnknown || op.Status == payment.OperationManualReview {
			a.checked(UnknownIsNotFailed, 1)
			open = op
		}
	}
}
