package chaos

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// end is where a payment comes to rest, and the amounts that it moved, in minor units.
type end struct {
	status                                   messages.Status
	authorized, captured, refunded, released int64
	// disputed is the amount in open disputes, review the reason of the open review.
	disputed int64
	review   string
	// excess is what a gateway moved beyond what may be booked, compensated what was given back of
	// it.
	excess, compensated int64
	// attempts is the number of attempts that a declined authorization must come to.
	attempts int
	// cut means that the event which follows by itself did not: only a gateway that was killed in
	// that moment may forget it.
	cut bool
}

func (e *end) uncaptured() int64 { return e.authorized - e.captured - e.released }

// ledgerEnds sums the ledgers of all gateways by payment.
func ledgerEnds(ledgers map[string]audit.Ledger) map[uuid.UUID]end {
	sums := map[uuid.UUID]end{}
	for _, ledger := range ledgers {
		for i := range ledger.Entries {
			entry := &ledger.Entries[i]
			sum := sums[entry.PaymentID]
			sum.authorized += entry.AuthorizedMinor
			sum.captured += entry.CapturedMinor
			sum.refunded += entry.RefundedMinor
			sum.released += entry.ReleasedMinor
			sums[entry.PaymentID] = sum
		}
	}
	return sums
}

// unsettled describes an operation of a payment at rest that is not, "" if there is none.
func unsettled(p *payment.Payment) string {
	for i := range p.Operations {
		switch op := &p.Operations[i]; op.Status {
		case payment.OperationSent, payment.OperationNotSent, payment.OperationPending, payment.OperationUnknown:
			return fmt.Sprintf("%s %s at %s is still %s when all is at rest: the payment (%s) is %s, with a check due at %s",
				op.Kind, op.ID, op.Gateway, op.Status, p.PaymentMethod, p.Status, op.NextCheckAt.Format(time.RFC3339))
		default:
		}
	}
	return ""
}

// reviewOf returns the reason of the open review, "" if there is none.
func reviewOf(p *payment.Payment) string {
	for i := range p.Operations {
		switch op := &p.Operations[i]; {
		case op.Review != "":
			return op.Review
		case op.Status == payment.OperationManualReview:
			return messages.ReviewUnknown
		}
	}
	return ""
}

// differs says how a payment differs from the end, "" if it does not.
func (e *end) differs(p *payment.Payment) string {
	disputed := int64(0)
	for i := range p.Disputes {
		if p.Disputes[i].Status == messages.EventDisputeOpened {
			disputed += p.Disputes[i].AmountMinor
		}
	}
	declines := 0
	for i := range p.Operations {
		if p.Operations[i].Decline != nil && p.Operations[i].Kind == messages.OperationAuthorize {
			declines++
		}
	}
	review := reviewOf(p)
	switch {
	case review != e.review && e.review == "":
		return "it is in review for " + review + ", and the plan has no reason for one"
	case review != e.review:
		return fmt.Sprintf("it is in review for %q, not for %q", review, e.review)
	case p.Status != e.status:
		return fmt.Sprintf("it is %s, not %s", p.Status, e.status)
	case p.AuthorizedMinor != e.authorized || p.CapturedMinor != e.captured || p.RefundedMinor != e.refunded || p.ReleasedMinor != e.released:
		return fmt.Sprintf("%d is authorized, %d captured, %d refunded and %d released, not %s",
			p.AuthorizedMinor, p.CapturedMinor, p.RefundedMinor, p.ReleasedMinor, e.amounts())
	case p.ExcessMinor != e.excess:
		return fmt.Sprintf("the excess is %d, not %d", p.ExcessMinor, e.excess)
	case disputed != e.disputed:
		return fmt.Sprintf("%d is in dispute, not %d", disputed, e.disputed)
	case e.attempts > 0 && p.RetryAt.IsZero() && declines < e.attempts:
		return fmt.Sprintf("it was declined %d times and is not tried again, though the producer asked for %d attempts", declines, e.attempts)
	case e.attempts > 0 && declines > e.attempts:
		return fmt.Sprintf("it was tried %d times, though the producer asked for %d attempts", declines, e.attempts)
	default:
		return ""
	}
}

func (e *end) amounts() string {
	return fmt.Sprintf("%d, %d, %d and %d", e.authorized, e.captured, e.refunded, e.released)
}

// differsFromLedger says how the sums of all gateways differ from the end.
func (e *end) differsFromLedger(moved end) string {
	if moved.authorized == e.authorized && moved.captured == e.captured+e.excess+e.compensated && moved.refunded == e.refunded+e.compensated &&
		(moved.released == e.released || e.status == messages.StatusExpired) {
		return ""
	}
	return fmt.Sprintf("by the gateways' ledgers %d is authorized, %d captured, %d refunded and %d released, not %s with an excess of %d and %d compensated",
		moved.authorized, moved.captured, moved.refunded, moved.released, e.amounts(), e.excess, e.compensated)
}
