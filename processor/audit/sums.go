package audit

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// brokenLimit says how the gateways went too far by their own account, "" if they did not.
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

// reversedRefunds is what came back of refunds, and may be refunded again.
func reversedRefunds(effects []*effect) (sum int64) {
	for _, e := range effects {
		if e.kind == messages.OperationRefund {
			sum += e.reversed
		}
	}
	return sum
}

// differingSums compares what is recorded of a payment with what the gateways did. What was there before the payment was read
// must not exceed what is recorded and reserved, and what is recorded must be there after.
func differingSums(p *payment.Payment, effects []*effect) string {
	reserved := amounts{}
	expired := false
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Contradicted {
			return "" // A person compares these: the gateway contradicts the record.
		}
		expired = expired || op.Expires != ""
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
			continue // A gateway may have let it lapse without a word.
		}
		if sum.early > sum.recorded+sum.reserved || sum.recorded > sum.late {
			return fmt.Sprintf("%s is recorded as %d with %d open, and is %d in the ledgers", sum.what, sum.recorded, sum.reserved, sum.late)
		}
	}
	return ""
}

// reservedFor is what an open operation may have moved.
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
