package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// GatewayOptions tunes Gateways. Zero values mean the defaults.
type GatewayOptions struct {
	// FindingsMax bounds Report.Findings; 0 means 100. Violations beyond it are counted, too.
	FindingsMax int
	// ReversalsBefore is the time before which a gateway's reversals must have been recorded; zero
	// means that all of them must. A gateway tells of a reversal afterwards, so on a live system
	// the latest may be on their way.
	ReversalsBefore time.Time
	// Payments are those to compare; none means all.
	Payments []uuid.UUID
}

// GatewayReport is the result of Gateways.
type GatewayReport struct {
	Report
	// Payments and Operations count those that were compared, Effects the effects in the ledgers,
	// Requests the requests to the gateways, lookups included.
	Payments   int64 `json:"payments"`
	Operations int64 `json:"operations"`
	Effects    int64 `json:"effects"`
	Requests   int64 `json:"requests"`
	// Awaited counts the operations with a reversal that is in a ledger and not recorded, and that
	// is too young to be a violation.
	Awaited int64 `json:"awaited"`
	// Excused lists the differences of operations in an open review: a person looks at them. They
	// are no violations, and no difference goes unlisted. FindingsMax bounds the list; Differences
	// counts all of them.
	Excused     []books.Finding `json:"excused,omitempty"`
	Differences int64           `json:"differences"`
}

// Gateways compares the ledgers of all gateways with the payments. An operation takes effect once
// at most, over all gateways. Every effect is recorded. A settled operation has moved at its
// gateway what is recorded of it: the booked amount, its excess, and the part of an excess that was
// given back. The sums agree; while an operation is open they lie within the amounts reserved for
// it. A difference of an operation in an open review is listed as excused.
//
// It may run while payments are processed: the ledgers are read before the payments and after
// them, and an effect that came in between is no violation. The ledgers are held in memory, the
// payments are not. A gateway without a ledger counts as one that did nothing, so that its
// recorded successes are violations.
//
// An error means that the comparison could not be completed, not that it found a violation.
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
				// A simulator forgets its counts of requests when it ends, and never its effects.
				a.report.Requests += int64(max(op.Requests, op.Effects)) + int64(op.Lookups)
			}
		}
		if err := now.Payments(ctx, func(p *payment.Payment) error {
			a.compare(p, a.books[p.ID])
			delete(a.books, p.ID)
			return nil
		}, o.Payments...); err != nil {
			return err
		}
		for paymentID, effects := range a.books {
			if len(o.Payments) > 0 && !slices.Contains(o.Payments, paymentID) {
				continue
			}
			a.strangers(paymentID, effects)
		}
		return nil
	})
}

// strangers reports effects for payments that do not exist.
func (a *gatewayAudit) strangers(paymentID uuid.UUID, effects []*effect) {
	for _, e := range effects {
		a.report.Effects += int64(e.times)
		if e.early {
			a.found(GatewayRecorded, paymentID, "operation %s took effect at %s; there is no such payment", e.operationID, e.gateway)
		}
	}
}

// compare compares one payment with its effects at the gateways.
func (a *gatewayAudit) compare(p *payment.Payment, effects []*effect) {
	a.report.Payments++
	a.report.Operations += int64(len(p.Operations))
	for _, e := range effects {
		a.report.Effects += int64(e.times)
		a.compareEffect(p, e)
		if e.reversed > e.agreedReversal(takenBack(p, p.Operation(e.operationID))) {
			a.report.Awaited++
		}
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
		if problem, inReview := differingSums(p, effects); problem != "" {
			a.differs(inReview, GatewaySums, p, "%s", problem)
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

// compareOnce looks for double effects: of one operation, or of one payment's authorization at two
// gateways. A second charge that is recorded as an excess is known, and given back or in review.
func (a *gatewayAudit) compareOnce(p *payment.Payment, effects []*effect) {
	times := map[string]int{}
	var at []string
	for _, e := range effects {
		times[e.operationID] += e.times
		if e.moved.authorized == 0 || len(at) > 0 && at[0] == e.gateway {
			continue
		}
		if op := p.Operation(e.operationID); op != nil && e.moved.authorized == op.ExcessMinor+op.CompensatedMinor {
			continue
		}
		at = append(at, e.gateway)
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

// differs reports a difference: as a violation, or as excused by an open review.
func (a *gatewayAudit) differs(inReview bool, invariant books.Invariant, p *payment.Payment, format string, args ...any) {
	if !inReview {
		a.found(invariant, p.ID, format, args...)
		return
	}
	a.report.Differences++
	if len(a.report.Excused) < a.findingsMax {
		a.report.Excused = append(a.report.Excused, books.Finding{Invariant: invariant, PaymentID: p.ID, Detail: fmt.Sprintf(format, args...)})
	}
}

// compareOperation compares the record of a settled operation with the ledger of its gateway. An
// authorization and its confirmations are one: the gateway may file the effect under either.
func (a *gatewayAudit) compareOperation(p *payment.Payment, op *payment.Operation, effects []*effect) {
	if op.Kind == messages.OperationConfirm && p.Operation(op.Target) != nil {
		return // Compared with its authorization.
	}
	if op.Kind == messages.OperationVoid && op.Purpose != messages.PurposeCompensate {
		a.compareVoid(p, op, effects)
		return
	}
	g := groupOf(p, op, effects)
	switch {
	case g.open:
	case g.succeeded:
		a.checked(LedgerComplete, 1)
		if problem := g.difference(); problem != "" {
			a.differs(g.inReview, LedgerComplete, p, "%s %s at %s %s", op.Kind, op.ID, op.Gateway, problem)
		}
	default:
		a.checked(UnknownIsNotFailed, 1)
		// What is booked of a failed operation was taken back: only its excess may be left.
		if kept := g.moved - g.reversed; kept > g.excess+g.compensated {
			a.differs(g.inReview, UnknownIsNotFailed, p, "%s %s is recorded as failed and moved %d at %s%s",
				op.Kind, op.ID, kept, op.Gateway, besides(g.excess+g.compensated))
		} else if g.moved < g.recorded() {
			a.differs(g.inReview, LedgerComplete, p, "%s %s at %s %s", op.Kind, op.ID, op.Gateway, g.difference())
		}
	}
}

// group is an operation, with its confirmations if it has any, and their effects.
type group struct {
	open, succeeded, inReview   bool
	booked, excess, compensated int64
	effects                     int
	moved, reversed             int64
}

func groupOf(p *payment.Payment, op *payment.Operation, effects []*effect) (g group) {
	for i := range p.Operations {
		member := &p.Operations[i]
		confirms := member.Kind == messages.OperationConfirm && member.Target == op.ID
		if member.ID != op.ID && !confirms {
			continue
		}
		g.open = g.open || member.Open() || member.Status == payment.OperationRequiresAction
		g.succeeded = g.succeeded || member.Status == payment.OperationSucceeded
		g.inReview = g.inReview || member.InReview()
		g.booked += booked(member)
		g.excess += member.ExcessMinor
		g.compensated += member.CompensatedMinor
		if e := find(effects, member); e != nil {
			g.effects += e.times
			g.moved += e.gross()
			g.reversed += e.reversed
		}
	}
	return g
}

// booked returns the booked amount that an operation moved.
func booked(op *payment.Operation) int64 {
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		return op.AuthorizedMinor
	case messages.OperationCapture:
		return op.CapturedMinor
	case messages.OperationVoid:
		return op.ReleasedMinor
	case messages.OperationRefund:
		return op.RefundedMinor
	default:
		return 0
	}
}

// recorded is all that is recorded to have moved.
func (g group) recorded() int64 { return g.booked + g.excess + g.compensated }

// difference says how the ledger differs from the record, "" if it does not.
func (g group) difference() string {
	switch {
	case g.moved == g.recorded():
		return ""
	case g.effects == 0:
		return fmt.Sprintf("is recorded for %d%s and is not in the ledger", g.booked, besides(g.excess+g.compensated))
	default:
		return fmt.Sprintf("is recorded for %d%s and is in the ledger for %d", g.booked, besides(g.excess+g.compensated), g.moved)
	}
}

// besides tells of an amount that is recorded beside the booked one, "" for none.
func besides(minor int64) string {
	if minor == 0 {
		return ""
	}
	return fmt.Sprintf(" beside an excess of %d", minor)
}

// compareVoid looks for the effect of a void that succeeded. Its amount is part of the sums: a void
// releases an authorization whole, with its excess.
func (a *gatewayAudit) compareVoid(p *payment.Payment, op *payment.Operation, effects []*effect) {
	switch {
	case op.Open():
	case op.Status == payment.OperationFailed:
		a.checked(UnknownIsNotFailed, 1)
		if e := find(effects, op); e != nil && e.gross() > 0 {
			a.differs(op.InReview(), UnknownIsNotFailed, p, "%s %s is recorded as failed and moved %d at %s",
				op.Kind, op.ID, e.gross(), op.Gateway)
		}
	default:
		a.checked(LedgerComplete, 1)
		if find(effects, op) == nil && !foundNothing(op) {
			a.differs(op.InReview(), LedgerComplete, p, "%s %s at %s is recorded as succeeded and is not in the ledger",
				op.Kind, op.ID, op.Gateway)
		}
	}
}

// foundNothing reports whether a void may have succeeded without an effect: it ended what may have
// lapsed or never held money, or the gateway refused it and a lookup proved the rest.
func foundNothing(void *payment.Operation) bool { return void.Purpose != "" || void.Decline != nil }

func find(effects []*effect, op *payment.Operation) *effect {
	for _, e := range effects {
		if e.operationID == op.ID && e.gateway == op.Gateway {
			return e
		}
	}
	return nil
}

// compareUnknown looks for an authorization that was made elsewhere while another may still move
// money.
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
		if op.Open() || op.Status == payment.OperationRequiresAction {
			a.checked(UnknownIsNotFailed, 1)
			open = op
		}
	}
}
