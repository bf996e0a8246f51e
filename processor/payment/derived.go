package payment

import (
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// UncapturedMinor is the amount that is authorized and neither captured nor released, reservations
// included.
func (p *Payment) UncapturedMinor() int64 {
	return p.AuthorizedMinor - p.CapturedMinor - p.ReleasedMinor
}

// CapturableMinor is the amount that a new capture may take.
func (p *Payment) CapturableMinor() int64 {
	return p.UncapturedMinor() - p.reservedMinor(isCapture)
}

// RefundableMinor is the amount that a new refund may give back: captured, not given back and not
// disputed.
func (p *Payment) RefundableMinor() int64 {
	return max(0, p.keptMinor()-p.heldByDisputesMinor(isAny)-p.RefundedMinor-p.reservedMinor(isRefund))
}

// keptMinor is the captured amount without what banks took back.
func (p *Payment) keptMinor() int64 {
	var sum int64
	for i := range p.Operations {
		if op := &p.Operations[i]; !isCompensation(op) && !isRefund(op) {
			sum += op.CapturedMinor - op.ReversedMinor
		}
	}
	return sum
}

// everCapturedMinor is the captured amount, that which banks took back included.
func (p *Payment) everCapturedMinor() int64 {
	var sum int64
	for i := range p.Operations {
		if op := &p.Operations[i]; !isCompensation(op) {
			sum += op.CapturedMinor
		}
	}
	return sum
}

// reservedMinor is the sum of the operations of a sort that are not settled: in flight, pending,
// unknown or in review.
func (p *Payment) reservedMinor(is func(*Operation) bool) int64 {
	var sum int64
	for i := range p.Operations {
		if op := &p.Operations[i]; is(op) && op.Open() && !isCompensation(op) {
			sum += op.AmountMinor
		}
	}
	return sum
}

func isAny(*Dispute) bool { return true }

// heldByDisputesMinor is the sum of the disputes of a sort that are open or lost: that money is not
// to be given back a second time.
func (p *Payment) heldByDisputesMinor(is func(*Dispute) bool) int64 {
	var sum int64
	for i := range p.Disputes {
		dispute := &p.Disputes[i]
		switch dispute.Status {
		case messages.EventDisputeWon, messages.EventDisputeCanceled:
		default:
			if is(dispute) {
				sum += dispute.AmountMinor
			}
		}
	}
	return sum
}

// sum derives the payment's amounts from its operations.
func (p *Payment) sum() {
	var authorized, captured, kept, refunded, disputed, released, excess int64
	for i := range p.Operations {
		op := &p.Operations[i]
		excess += op.ExcessMinor
		switch {
		case isCompensation(op):
		case isRefund(op):
			refunded += op.RefundedMinor - op.ReversedMinor
		default:
			authorized += op.AuthorizedMinor
			captured += op.CapturedMinor
			kept += op.CapturedMinor - op.ReversedMinor
			released += op.ReleasedMinor
			disputed += op.DisputedMinor
		}
	}
	p.AuthorizedMinor, p.RefundedMinor, p.DisputedMinor, p.ExcessMinor = authorized, refunded, disputed, excess
	// Money that was refunded and then taken back by the bank as well is short; the refund stands.
	p.CapturedMinor = max(kept, refunded)
	p.ReleasedMinor = released + captured - p.CapturedMinor
	p.ShortfallMinor = max(0, refunded+disputed-kept)
}

// uncapturedAt is UncapturedMinor of one authorization.
func (p *Payment) uncapturedAt(authorization *Operation) int64 {
	rest := authorization.AuthorizedMinor - authorization.CapturedMinor - authorization.ReleasedMinor
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.Target == authorization.ID && !isCompensation(op) && !isRefund(op) && !isAuthorization(op) {
			rest -= op.CapturedMinor + op.ReleasedMinor
		}
	}
	return rest
}

// capturedAt is the booked amount that was captured of one authorization.
func (p *Payment) capturedAt(authorization *Operation) int64 {
	sum := authorization.CapturedMinor
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Target == authorization.ID && isCapture(op) {
			sum += op.CapturedMinor
		}
	}
	return sum
}

// refundableAt is RefundableMinor of one authorization.
func (p *Payment) refundableAt(authorization *Operation) int64 {
	rest := authorization.CapturedMinor - authorization.ReversedMinor
	for i := range p.Operations {
		switch op := &p.Operations[i]; {
		case op.Target != authorization.ID || isCompensation(op):
		case isCapture(op):
			rest += op.CapturedMinor - op.ReversedMinor
		case isRefund(op) && op.Open():
			rest -= op.AmountMinor
		case isRefund(op):
			rest -= op.RefundedMinor - op.ReversedMinor
		}
	}
	return rest - p.heldByDisputesMinor(func(d *Dispute) bool { return d.OperationID == authorization.ID })
}

// latestAuthorization returns the latest authorize or confirm for which the condition holds, nil if
// there is none.
func (p *Payment) latestAuthorization(holds func(*Operation) bool) *Operation {
	for i := len(p.Operations) - 1; i >= 0; i-- {
		if op := &p.Operations[i]; isAuthorization(op) && holds(op) {
			return op
		}
	}
	return nil
}

// reviewing reports whether a person has to look at any operation.
func (p *Payment) reviewing() bool {
	for i := range p.Operations {
		if p.Operations[i].InReview() {
			return true
		}
	}
	return false
}

// Timer is the next moment at which a payment needs attention without a command. The zero Timer is
// none.
type Timer struct {
	At time.Time
	// Gateway is the gateway that the payment waits for because it could not be reached; "" where
	// the payment waits for a time only.
	Gateway string
}

// Asked are the operations that a delivery has asked about to no avail, with the time to ask again.
// It keeps a delivery from asking twice.
type Asked map[string]time.Time

// Timer returns the payment's timer as of now: a retry, a check, an expiry. Checks that changed
// nothing are not recorded, so that the answer depends on now.
func (p *Payment) Timer(now time.Time) Timer { return p.TimerAfter(now, nil) }

// TimerAfter is Timer after a delivery that asked about some operations to no avail.
func (p *Payment) TimerAfter(now time.Time, asked Asked) Timer {
	var t Timer
	earliest := func(at time.Time, gateway string) {
		if !at.IsZero() && (t.At.IsZero() || at.Before(t.At)) {
			t = Timer{At: at, Gateway: gateway}
		}
	}
	reviewing := p.reviewing()
	for i := range p.Operations {
		op := &p.Operations[i]
		at, again := asked[op.ID]
		switch {
		case again && (op.Status == OperationPending || op.Status == OperationUnknown):
			earliest(at, "")
		case op.Status == OperationPending:
			earliest(op.pendingCheckAt(now), "")
		case op.Status == OperationNotSent && (!reviewing || isCompensation(op)):
			// In a review no money moves: the person who ends it lets the operation go on. A
			// compensation is how a person ends it.
			earliest(op.NextCheckAt, op.Gateway)
		case op.Status != OperationNotSent:
			earliest(op.NextCheckAt, "")
		}
	}
	if !reviewing {
		earliest(p.expiresAt(), "")
		earliest(p.retriesAt(), "")
		if p.toClose() != nil {
			earliest(p.UpdatedAt, "")
		}
	}
	return t
}

// DueAt is the time of Timer: zero if the payment needs no attention.
func (p *Payment) DueAt(now time.Time) time.Time { return p.Timer(now).At }

// pendingCheckMax is the longest wait between two questions about a pending operation.
const pendingCheckMax = 12 * time.Hour

// pendingCheckAt returns the next question after now about a pending operation: the first at
// NextCheckAt, each after twice as long, up to pendingCheckMax. It depends on nothing that a
// question changes, so that one that changes nothing need not be recorded.
func (o *Operation) pendingCheckAt(now time.Time) time.Time {
	at := o.NextCheckAt
	wait := min(max(at.Sub(o.PendingSince), time.Millisecond), pendingCheckMax)
	for !at.After(now) {
		if wait = min(2*wait, pendingCheckMax); wait == pendingCheckMax {
			at = at.Add(now.Sub(at).Truncate(wait))
		}
		at = at.Add(wait)
	}
	return at
}

// expiresAt is when an authorization that can still be captured, or a wait for the customer, ends,
// or first is to be warned of. An operation in flight puts it off: what the gateway is doing with
// the authorization is not known until that settles.
func (p *Payment) expiresAt() time.Time {
	if p.Closed != "" || p.openAmong(isAuthorization, isCapture, isVoid) != nil {
		return time.Time{}
	}
	switch {
	case p.UncapturedMinor() > 0 && !p.WarnAt.IsZero():
		return p.WarnAt
	case p.UncapturedMinor() > 0:
		return p.CaptureBefore
	case p.NextAction != nil:
		return p.ConfirmBefore
	default:
		return time.Time{}
	}
}

// status derives where the payment stands. Nothing stores it but Apply, so that it can't disagree
// with the rest: what needs a person comes first, then what isn't known, then what is in flight,
// then where the money rests.
func (p *Payment) status() messages.Status {
	if !p.Created() {
		return messages.StatusNone
	}
	if s := p.unsettledStatus(); s != "" {
		return s
	}
	if p.Closed != "" {
		return p.Closed
	}
	return p.restingStatus()
}

func (p *Payment) unsettledStatus() messages.Status {
	var unknown, voiding, capturing, processing, authorizing bool
	for i := range p.Operations {
		op := &p.Operations[i]
		switch {
		case op.InReview():
			return messages.StatusReview
		case op.Status == OperationUnknown:
			unknown = true
		case op.Status == OperationPending && !isRefund(op):
			processing = true
		case !op.inFlight():
		case isVoid(op):
			voiding = true
		case isCapture(op):
			capturing = true
		case isAuthorization(op):
			authorizing = true
		}
	}
	switch {
	case unknown:
		return messages.StatusUnknown
	case voiding:
		return messages.StatusVoiding
	case capturing:
		return messages.StatusCapturing
	case authorizing:
		return messages.StatusAuthorizing
	case processing:
		return messages.StatusProcessing
	default:
		return ""
	}
}

func (p *Payment) restingStatus() messages.Status {
	switch {
	case p.RefundedMinor > 0 && p.RefundedMinor == p.CapturedMinor && p.UncapturedMinor() == 0:
		return messages.StatusRefunded
	case p.RefundedMinor > 0:
		return messages.StatusPartiallyRefunded
	case p.CapturedMinor > 0 && p.UncapturedMinor() > 0:
		return messages.StatusPartiallyCaptured
	case p.CapturedMinor > 0:
		return messages.StatusCaptured
	case p.AuthorizedMinor > 0:
		return messages.StatusAuthorized
	case p.NextAction != nil:
		return messages.StatusRequiresAction
	case p.Decline != nil:
		return messages.StatusRequiresPaymentMethod
	default:
		return messages.StatusCreated
	}
}
