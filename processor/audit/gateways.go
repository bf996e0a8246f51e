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
}

// Gateways compares the ledgers of all gateways with the payments. An operation takes effect once
// at most, over all gateways. Every effect is recorded. Every recorded success is in the ledger,
// and no recorded failure is. The sums agree; while an operation is open they lie within the
// amounts reserved for it.
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
		if e.reversed > e.agreedReversal(p.Operation(e.operationID)) {
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

// compareOnce looks for double effects: of one operation, or of one payment's authorization at two
// gateways.
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

// compareOperation compares the record of an operation with the ledger of its gateway.
func (a *gatewayAudit) compareOperation(p *payment.Payment, op *payment.Operation, effects []*effect) {
	switch op.Status {
	case payment.OperationSucceeded:
		a.checked(LedgerComplete, 1)
		done := completion(p, op)
		if problem := missingEffect(done, find(effects, done)); problem != "" {
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
	case payment.OperationSent, payment.OperationNotSent, payment.OperationRequiresAction, payment.OperationPending,
		payment.OperationUnknown, payment.OperationManualReview:
	}
}

// completion returns the operation that completed op: a later confirm, if the customer had to act
// first, else op itself.
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
	case op.Kind == messages.OperationVoid && expires(op):
		return "" // It may have found nothing left to release.
	case e == nil || e.times == 0:
		return "is recorded as succeeded and is not in the ledger"
	case op.Kind != messages.OperationVoid && e.gross() != recordedMinor(op):
		return fmt.Sprintf("is recorded for %d and is in the ledger for %d", recordedMinor(op), e.gross())
	default:
		return ""
	}
}

// recordedMinor is the amount that an operation is recorded to have moved, an excess included. It
// need not be the amount that was asked for. A compensation moves what was asked for: what it gave
// back is booked of the operation that it compensates.
func recordedMinor(op *payment.Operation) int64 {
	moved := max(op.AuthorizedMinor, op.CapturedMinor, op.RefundedMinor) + op.ExcessMinor + op.CompensatedMinor
	if moved == 0 || op.Purpose == messages.PurposeCompensate {
		return op.AmountMinor
	}
	return moved
}

// expires reports whether a void ended what was not captured or confirmed in time.
func expires(op *payment.Operation) bool {
	return op.Purpose == messages.PurposeExpireAuthorization || op.Purpose == messages.PurposeExpireAction
}

// compareUnknown looks for an authorization that was made elsewhere while the outcome of another
// is unknown.
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

// brokenLimit names the limit that the gateways broke by their own account, "" for none.
func brokenLimit(p *payment.Payment, effects []*effect) string {
	var moved amounts
	for _, e := range effects {
		moved.add(e.moved)
	}
	switch {
	case p.Created() && moved.authorized > p.AmountMinor:
		return fmt.Sprintf("the gateways authorized %d of %d", moved.authorized, p.AmountMinor)
	case moved.captured+moved.released > moved.authorized:
		return fmt.Sprintf("the gateways captured %d and released %d of the %d they authorized",
			moved.captured, moved.released, moved.authorized)
	case moved.refunded > moved.captured+reversedRefunds(effects):
		return fmt.Sprintf("the gateways refunded %d of the %d they captured", moved.refunded, moved.captured)
	default:
		return ""
	}
}

// reversedRefunds sums the reversals of refunds, which may be refunded again.
func reversedRefunds(effects []*effect) (sum int64) {
	for _, e := range effects {
		if e.kind == messages.OperationRefund {
			sum += e.reversed
		}
	}
	return sum
}

// differingSums compares the sums of a payment with those of the gateways. The effects from before
// the payment was read must not exceed the recorded and reserved amounts, and the recorded amounts
// must be in the ledgers afterwards.
func differingSums(p *payment.Payment, effects []*effect) string {
	reserved := amounts{}
	expired := false
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Review != "" {
			return "" // A person compares these: the gateway contradicts the record.
		}
		expired = expired || expires(op)
		reserved.add(reservedFor(p, op))
	}
	var early, late amounts
	for _, e := range effects {
		net := e.net(e.agreedReversal(p.Operation(e.operationID)))
		late.add(net)
		if e.early {
			early.add(net)
		}
	}
	for _, sum := range [...]struct {
		what                            string
		early, recorded, late, reserved int64
	}{
		{"authorized", early.authorized, p.AuthorizedMinor, late.authorized, reserved.authorized},
		{"captured", early.captured, p.CapturedMinor, late.captured, reserved.captured},
		{"refunded", early.refunded, p.RefundedMinor, late.refunded, reserved.refunded},
		{"released", early.released, p.ReleasedMinor, late.released, reserved.released},
	} {
		if sum.what == "released" && expired {
			continue // A gateway may have let it lapse without an entry.
		}
		if sum.early > sum.recorded+sum.reserved || sum.recorded > sum.late {
			return fmt.Sprintf("%s is recorded as %d with %d open, and is %d in the ledgers", sum.what, sum.recorded, sum.reserved, sum.late)
		}
	}
	return ""
}

// reservedFor returns the amounts that an open operation may have moved.
func reservedFor(p *payment.Payment, op *payment.Operation) amounts {
	if !op.Open() {
		return amounts{}
	}
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		captured := int64(0)
		if p.CaptureMethod == messages.CaptureAutomatic {
			captured = op.AmountMinor
		}
		return amounts{authorized: op.AmountMinor, captured: captured}
	case messages.OperationCapture:
		released := int64(0)
		if op.Final {
			released = p.UncapturedMinor()
		}
		return amounts{captured: op.AmountMinor, released: released}
	case messages.OperationVoid:
		return amounts{released: max(op.AmountMinor, p.UncapturedMinor())}
	case messages.OperationRefund:
		return amounts{refunded: op.AmountMinor}
	default:
		return amounts{}
	}
}
