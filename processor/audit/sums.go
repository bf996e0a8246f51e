package audit

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// brokenLimit names the limit that the gateways broke by their own account, "" for none. What is
// recorded as an excess is known to be beyond the limit.
func brokenLimit(p *payment.Payment, effects []*effect) string {
	var moved amounts
	for _, e := range effects {
		moved.add(e.moved)
	}
	var excess int64
	for i := range p.Operations {
		if op := &p.Operations[i]; authorizes(op) {
			excess += op.ExcessMinor + op.CompensatedMinor
		}
	}
	switch {
	case p.Created() && moved.authorized > p.AmountMinor+excess:
		return fmt.Sprintf("the gateways authorized %d of %d%s", moved.authorized, p.AmountMinor, besides(excess))
	case moved.captured+moved.released > moved.authorized+excessCaptured(p):
		return fmt.Sprintf("the gateways captured %d and released %d of the %d they authorized",
			moved.captured, moved.released, moved.authorized)
	case moved.refunded > moved.captured+reversedRefunds(effects)+excessRefunded(p):
		return fmt.Sprintf("the gateways refunded %d of the %d they captured", moved.refunded, moved.captured)
	default:
		return ""
	}
}

func authorizes(op *payment.Operation) bool {
	return op.Kind == messages.OperationAuthorize || op.Kind == messages.OperationConfirm
}

// excessCaptured sums what captures took beyond what was asked for.
func excessCaptured(p *payment.Payment) (sum int64) {
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Kind == messages.OperationCapture {
			sum += op.ExcessMinor + op.CompensatedMinor
		}
	}
	return sum
}

// excessRefunded sums what refunds gave beyond what was asked for.
func excessRefunded(p *payment.Payment) (sum int64) {
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Kind == messages.OperationRefund {
			sum += op.ExcessMinor
		}
	}
	return sum
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

// differingSums compares the sums of a payment's operations with those of the gateways. The effects
// from before the payment was read must not exceed the recorded and reserved amounts, and the
// recorded amounts must be in the ledgers afterwards. It also tells whether an open review excuses
// a difference.
func differingSums(p *payment.Payment, effects []*effect) (problem string, inReview bool) {
	var recorded, reserved amounts
	lapsed := false
	var unreleased int64
	for i := range p.Operations {
		op := &p.Operations[i]
		inReview = inReview || op.InReview()
		lapsed = lapsed || op.Kind == messages.OperationVoid && foundNothing(op)
		recorded.add(recordedFor(p, op))
		reserved.add(openFor(p, op, effects))
		if authorizes(op) && !capturesAtOnce(p, op) {
			unreleased += op.ExcessMinor
		}
	}
	// The last capture of an authorization releases its excess, too.
	reserved.released += unreleased
	var early, late amounts
	for _, e := range effects {
		net := e.net(e.agreedReversal(takenBack(p, p.Operation(e.operationID))))
		late.add(net)
		if e.early {
			early.add(net)
		}
	}
	for _, sum := range [...]struct {
		what                            string
		early, recorded, late, reserved int64
		// lapsed: a gateway may have let an authorization lapse without an entry.
		lapsed bool
	}{
		{"authorized", early.authorized, recorded.authorized, late.authorized, reserved.authorized, false},
		{"captured", early.captured, recorded.captured, late.captured, reserved.captured, false},
		{"refunded", early.refunded, recorded.refunded, late.refunded, reserved.refunded, false},
		{"released", early.released, recorded.released, late.released, reserved.released, lapsed},
	} {
		if sum.early > sum.recorded+sum.reserved || sum.recorded > sum.late && !sum.lapsed {
			return fmt.Sprintf("%s is recorded as %d with %d open, and is %d in the ledgers",
				sum.what, sum.recorded, sum.reserved, sum.late), inReview
		}
	}
	return "", inReview
}

// openFor returns the amounts that an operation without an answer may have moved: those that it
// reserves, or those that its gateway moved, if they are more. The answer will tell of them.
func openFor(p *payment.Payment, op *payment.Operation, effects []*effect) amounts {
	open := reservedFor(p, op)
	if open == (amounts{}) {
		return open
	}
	for _, e := range effects {
		if e.operationID == op.ID && e.gateway == op.Gateway {
			open.authorized, open.captured = max(open.authorized, e.moved.authorized), max(open.captured, e.moved.captured)
			open.released, open.refunded = max(open.released, e.moved.released), max(open.refunded, e.moved.refunded)
		}
	}
	return open
}

// capturesAtOnce reports whether what the operation authorized is captured with it.
func capturesAtOnce(p *payment.Payment, op *payment.Operation) bool {
	return authorizes(op) && p.CaptureMethod == messages.CaptureAutomatic
}

// recordedFor returns the amounts that an operation is recorded to have moved, those beyond what
// may be booked included, less what was taken back.
func recordedFor(p *payment.Payment, op *payment.Operation) amounts {
	beyond := op.ExcessMinor + op.CompensatedMinor
	switch op.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		if capturesAtOnce(p, op) {
			back := takenBack(p, op)
			return amounts{
				authorized: op.AuthorizedMinor + beyond, captured: op.CapturedMinor + beyond - back, released: op.ReleasedMinor + back,
			}
		}
		// Captured by other means than Tender, it may have been taken back.
		return amounts{
			authorized: op.AuthorizedMinor + beyond, captured: op.CapturedMinor - op.ReversedMinor,
			released: op.ReleasedMinor + op.ReversedMinor + unbooked(p, op),
		}
	case messages.OperationCapture:
		back := takenBack(p, op)
		return amounts{captured: op.CapturedMinor + beyond - back, released: op.ReleasedMinor + back}
	case messages.OperationVoid:
		return amounts{released: op.ReleasedMinor}
	case messages.OperationRefund:
		return amounts{refunded: op.RefundedMinor + beyond - op.ReversedMinor}
	default:
		return amounts{}
	}
}

// takenBack returns the amount of an operation, which may be nil, that is recorded as taken back by
// the bank: of the booked amount, and of an excess.
func takenBack(p *payment.Payment, op *payment.Operation) int64 {
	switch {
	case op == nil:
		return 0
	case capturesAtOnce(p, op) || op.Kind == messages.OperationCapture:
		return op.ReversedMinor + unbooked(p, op)
	default:
		return op.ReversedMinor
	}
}

// unbooked is the part of a compensated excess that no compensation gave back: the bank took it
// back, or a void of the authorization released it.
func unbooked(p *payment.Payment, op *payment.Operation) int64 {
	rest := op.CompensatedMinor
	for i := range p.Operations {
		by := &p.Operations[i]
		if by.Purpose == messages.PurposeCompensate && by.Target == op.ID && by.Status == payment.OperationSucceeded {
			rest -= by.ReleasedMinor + by.RefundedMinor
		}
	}
	return rest
}

// reservedFor returns the amounts that an open operation may have moved.
func reservedFor(p *payment.Payment, op *payment.Operation) amounts {
	if !op.Open() && op.Status != payment.OperationRequiresAction {
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
