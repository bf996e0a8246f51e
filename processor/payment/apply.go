package payment

import (
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// HistoryError says that an event can't follow the history it was applied to: a version out of
// turn, an operation that isn't there, an amount beyond its limit. A stored history that gives it
// has been damaged.
type HistoryError struct {
	Version int64
	Type    messages.EventType
	Problem string
}

func (e *HistoryError) Error() string {
	return fmt.Sprintf("event %d %s: %s", e.Version, e.Type, e.Problem)
}

// Apply folds one event into p. Events must come in the order of their versions, without gaps. On
// an error, which is always a *HistoryError, p is left half changed and must be thrown away.
func Apply(p *Payment, e messages.Event) error {
	if e.Version != p.Version+1 {
		return &HistoryError{e.Version, e.Type(), fmt.Sprintf("follows version %d", p.Version)}
	}
	if p.Version == 0 {
		p.ID, p.Tenant = e.PaymentID, e.Tenant
	}
	if e.PaymentID != p.ID || e.Tenant != p.Tenant {
		return &HistoryError{e.Version, e.Type(), "belongs to another payment"}
	}
	if problem := p.apply(e); problem != "" {
		return &HistoryError{e.Version, e.Type(), problem}
	}
	p.Version = e.Version
	p.UpdatedAt = e.OccurredAt
	p.sum()
	p.Status = p.status()
	if problem := p.BrokenLimit(); problem != "" {
		return &HistoryError{e.Version, e.Type(), problem}
	}
	return nil
}

// Fold applies a whole history to a payment without one.
func Fold(events []messages.Event) (*Payment, error) {
	p := &Payment{}
	for _, e := range events {
		if err := Apply(p, e); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// BrokenLimit names the limit that the payment's money breaks, "" if there is none. Limits bind
// what is booked and what Tender has asked for, at every step of every history. What gateways
// report beyond that is an excess and outside of all limits.
func (p *Payment) BrokenLimit() string {
	switch {
	case p.AuthorizedMinor < 0 || p.CapturedMinor < 0 || p.RefundedMinor < 0 || p.ReleasedMinor < 0 || p.ExcessMinor < 0:
		return "an amount is negative"
	case p.AuthorizedMinor > p.AmountMinor:
		return "authorized more than the payment's amount"
	case p.CapturableMinor() < 0:
		return "captured, capturing and released exceed what is authorized"
	case p.RefundedMinor+p.reservedMinor(isRefund) > p.everCapturedMinor():
		return "refunded and refunding exceed what was captured"
	}
	for i := range p.Operations {
		if problem := p.Operations[i].brokenLimit(); problem != "" {
			return problem
		}
	}
	return ""
}

func (o *Operation) brokenLimit() string {
	switch {
	case o.ExcessMinor < 0 || o.CompensatedMinor < 0:
		return "gives back more than operation " + o.ID + " moved"
	case o.ReversedMinor > o.CapturedMinor+o.RefundedMinor:
		return "takes back more than operation " + o.ID + " moved"
	default:
		return ""
	}
}

func (p *Payment) apply(e messages.Event) (problem string) {
	switch d := e.Data.(type) {
	case *messages.PaymentCreated:
		return p.applyCreated(e, d)
	case *messages.PaymentRouted:
		return p.applyRouted(e, d)
	case *messages.RefundCreated:
		return p.startOperation(e, Operation{
			Kind: messages.OperationRefund, Target: d.TargetOperationID, AmountMinor: d.AmountMinor, Reason: string(d.Reason),
		}, d.Attempt)
	case *messages.PaymentExpiring:
		p.WarnAt = time.Time{}
		return ""
	case *messages.PaymentExpired:
		return p.applyExpired(d)
	case *messages.PaymentVoided:
		return p.applyVoided(d)
	case *messages.PaymentFailed:
		return p.applyFailed(d)
	case *messages.PaymentCompensated:
		return p.applyCompensated(d)
	case *messages.OperationClosed:
		problem := p.settleIfAny(d.OperationID, d.Tries, OperationSucceeded)
		p.endTarget(d.OperationID)
		return problem
	case *messages.Dispute:
		return p.applyDispute(d)
	case *messages.CommandRejected:
		return ""
	default:
		return p.applyToOperation(e)
	}
}

func (p *Payment) applyCreated(e messages.Event, d *messages.PaymentCreated) string {
	if p.Created() {
		return "is created twice"
	}
	p.AmountMinor, p.Currency, p.Exponent = d.AmountMinor, d.Currency, d.Exponent
	p.CaptureMethod, p.PaymentMethod = d.CaptureMethod, d.PaymentMethod
	p.CustomerID, p.MerchantReference, p.Country = d.CustomerID, d.MerchantReference, d.Country
	p.Metadata, p.CorrelationID, p.CreatedAt = d.Metadata, e.CorrelationID, e.OccurredAt
	p.Retry = d.Retry
	return ""
}

func (p *Payment) applyRouted(e messages.Event, d *messages.PaymentRouted) string {
	p.PaymentMethod, p.Gateway = d.PaymentMethod, d.Gateway
	p.Decline, p.RetryAt = nil, time.Time{}
	op := Operation{
		Kind: messages.OperationAuthorize, AmountMinor: d.AmountMinor, PaymentMethod: d.PaymentMethod,
		Previous: d.PreviousOperationID, CausedBy: e.CausationID,
	}
	if d.PreviousOperationID != "" {
		previous := p.Operation(d.PreviousOperationID)
		if previous == nil || previous.Status != OperationFailed {
			return "takes the place of operation " + d.PreviousOperationID + ", which has not failed"
		}
		op.CausedBy, op.NotSentSince = previous.CausedBy, previous.NotSentSince
	}
	return p.startOperation(e, op, d.Attempt)
}

// startOperation adds an operation whose first attempt may have been sent.
func (p *Payment) startOperation(e messages.Event, op Operation, a messages.Attempt) string {
	if !p.Created() {
		return "comes before payment.created"
	}
	if a.OperationID != p.nextOperationID() {
		return "starts operation " + a.OperationID + " where " + p.nextOperationID() + " is next"
	}
	op.ID, op.Gateway, op.Attempt = a.OperationID, a.Gateway, a.Attempt
	op.Status, op.FirstSentAt, op.SentAt = OperationSent, e.OccurredAt, e.OccurredAt
	if op.CausedBy == "" {
		op.CausedBy = e.CausationID
	}
	op.SentBy = e.CausationID
	p.Operations = append(p.Operations, op)
	return ""
}

func (p *Payment) applyExpired(d *messages.PaymentExpired) string {
	problem := p.settleIfAny(d.OperationID, d.Tries, OperationSucceeded)
	p.release(d.OperationID, d.AmountReleasedMinor, messages.StatusExpired)
	return problem
}

func (p *Payment) applyVoided(d *messages.PaymentVoided) string {
	problem := p.settleIfAny(d.OperationID, d.Tries, OperationSucceeded)
	p.release(d.OperationID, d.AmountReleasedMinor, messages.StatusVoided)
	return problem
}

func (p *Payment) applyCompensated(d *messages.PaymentCompensated) string {
	target := p.Operation(d.CompensatesOperationID)
	op := p.Operation(d.OperationID)
	if target == nil || op == nil || !isCompensation(op) || op.Target != target.ID {
		return "compensates operation " + d.CompensatesOperationID + ", which is not what it was sent for"
	}
	if problem := p.settleIfAny(d.OperationID, d.Tries, OperationSucceeded); problem != "" {
		return problem
	}
	op.GatewayReference = d.GatewayReference
	if isVoid(op) {
		op.ReleasedMinor = d.AmountMinor
	} else {
		op.RefundedMinor = d.AmountMinor
	}
	target.ExcessMinor -= d.AmountMinor
	target.CompensatedMinor += d.AmountMinor
	if target.ExcessMinor == 0 {
		target.Review = ""
	}
	return ""
}

// settleIfAny settles the operation that an event names, if it names one, after so many tries.
func (p *Payment) settleIfAny(operationID string, tries int, to OperationStatus) (problem string) {
	if operationID == "" {
		return ""
	}
	op := p.Operation(operationID)
	switch {
	case op == nil:
		return "is about operation " + operationID + ", which is not there"
	case op.settled():
		return "is about operation " + operationID + ", which has already " + string(op.Status)
	default:
		op.Tries = max(op.Tries, tries)
		op.settle(to)
		return ""
	}
}

// release gives back the amount that a void released; a payment that captured nothing is closed by
// it. Without a void, no gateway held anything.
func (p *Payment) release(operationID string, amountMinor int64, closed messages.Status) {
	if op := p.Operation(operationID); op != nil {
		op.ReleasedMinor = amountMinor
		if target := p.Operation(op.Target); target != nil && target.CapturedMinor == 0 {
			// The gateway releases an authorization whole.
			target.CompensatedMinor += target.ExcessMinor
			target.ExcessMinor = 0
		}
		p.endTarget(operationID)
	}
	p.endAction(OperationFailed)
	p.sum()
	if p.CapturedMinor == 0 {
		p.Closed = closed
	}
}

// endTarget settles the authorization that a void has ended, unless it held money: that one
// succeeded, and what it held is released.
func (p *Payment) endTarget(operationID string) {
	op := p.Operation(operationID)
	if op == nil {
		return
	}
	target := p.Operation(op.Target)
	if target != nil && !target.settled() {
		target.settle(OperationFailed)
	}
	p.endAction(OperationFailed)
}

func (p *Payment) applyFailed(d *messages.PaymentFailed) string {
	problem := p.settleIfAny(d.OperationID, d.Tries, OperationFailed)
	p.endAction(OperationFailed)
	p.Closed, p.FailureCode = messages.StatusFailed, d.Code
	return problem
}

func (p *Payment) applyDispute(d *messages.Dispute) string {
	var known *Dispute
	for i := range p.Disputes {
		if p.Disputes[i].ID == d.DisputeID {
			known = &p.Disputes[i]
		}
	}
	if known == nil {
		p.Disputes = append(p.Disputes, Dispute{
			ID: d.DisputeID, OperationID: d.OperationID, AmountMinor: d.AmountMinor, RespondBefore: d.RespondBefore,
		})
		known = &p.Disputes[len(p.Disputes)-1]
	}
	lost := isLost(known)
	known.Status, known.AmountMinor = d.Type, d.AmountMinor
	if d.OperationID == "" || lost || !isLost(known) {
		return ""
	}
	op := p.Operation(d.OperationID)
	if op == nil {
		return "is about operation " + d.OperationID + ", which is not there"
	}
	op.DisputedMinor += d.AmountMinor
	return ""
}

// isLost reports whether the money of a dispute is gone: it was lost, given up, or left unanswered.
func isLost(d *Dispute) bool {
	switch d.Status {
	case messages.EventDisputeLost, messages.EventDisputeAccepted, messages.EventDisputeExpired:
		return true
	default:
		return false
	}
}

// endAction settles the authorization that waited for the customer.
func (p *Payment) endAction(to OperationStatus) {
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Status == OperationRequiresAction {
			op.settle(to)
		}
	}
	p.NextAction, p.ConfirmBefore = nil, time.Time{}
}

func (o *Operation) settle(to OperationStatus) {
	o.Status, o.NextCheckAt = to, time.Time{}
}

// applyToOperation folds the events that are about one attempt at one operation.
func (p *Payment) applyToOperation(e messages.Event) (problem string) {
	if d, ok := e.Data.(*messages.OperationSent); ok && p.Operation(d.OperationID) == nil {
		return p.startOperation(e, Operation{
			Kind: d.Kind, Target: d.TargetOperationID, AmountMinor: d.AmountMinor, Final: d.Final, Reason: d.Reason,
			Purpose: d.Purpose,
		}, d.Attempt)
	}
	a, known := attemptOf(e.Data)
	if !known {
		return "is of a type that this version does not know"
	}
	op := p.Operation(a.OperationID)
	if op == nil {
		return "is about operation " + a.OperationID + ", which is not there"
	}
	if op.settled() && !op.takes(e.Data) {
		return "is about operation " + op.ID + ", which has already " + string(op.Status)
	}
	op.Tries = a.Tries
	if p.applyProgress(op, e) {
		return ""
	}
	if reversed, problem := p.applyReversal(op, e.Data); reversed {
		return problem
	}
	p.applyOutcome(op, e.Data)
	return ""
}

// attemptOf returns the attempt that an event is about; false if the event is about none.
func attemptOf(data messages.EventData) (messages.Attempt, bool) {
	switch d := data.(type) {
	case *messages.OperationSent:
		return d.Attempt, true
	case *messages.OperationNotSent:
		return d.Attempt, true
	case *messages.OperationDeclined:
		return d.Attempt, true
	case *messages.PaymentParked:
		return d.Attempt, true
	case *messages.PaymentProcessing:
		return d.Attempt, true
	case *messages.PaymentConfirmFailed:
		return d.Attempt, true
	case *messages.PaymentCompensationFailed:
		return d.Attempt, true
	case *messages.OperationChecked:
		return d.Attempt, true
	case *messages.PaymentOutcomeUnknown:
		return d.Attempt, true
	case *messages.PaymentOutcomeResolved:
		return d.Attempt, true
	case *messages.PaymentReviewOpened:
		return d.Attempt, true
	case *messages.PaymentActionRequired:
		return d.Attempt, true
	case *messages.PaymentAuthorized:
		return d.Attempt, true
	case *messages.PaymentDeclined:
		return d.Attempt, true
	case *messages.PaymentCaptured:
		return d.Attempt, true
	case *messages.PaymentCaptureFailed:
		return d.Attempt, true
	case *messages.PaymentCaptureReversed:
		return d.Attempt, true
	case *messages.PaymentVoidFailed:
		return d.Attempt, true
	case *messages.RefundSucceeded:
		return d.Attempt, true
	case *messages.RefundFailed:
		return d.Attempt, true
	default:
		return messages.Attempt{}, false
	}
}

// applyProgress folds what leaves the operation's outcome open; false if the event is of another
// sort.
func (p *Payment) applyProgress(op *Operation, e messages.Event) bool {
	switch d := e.Data.(type) {
	case *messages.OperationSent:
		op.Unproven = op.Unproven || op.Status == OperationSent
		op.Status, op.Attempt = OperationSent, d.Attempt.Attempt
		op.SentAt, op.SentBy, op.NextCheckAt = e.OccurredAt, e.CausationID, time.Time{}
	case *messages.OperationNotSent:
		op.notSent(e.OccurredAt, d.RetryAt)
	case *messages.PaymentParked:
		op.notSent(e.OccurredAt, d.RetryAt)
	case *messages.PaymentProcessing:
		op.pending(e.OccurredAt, d)
	case *messages.OperationChecked:
		op.NextCheckAt = d.NextCheckAt
		if op.Status == OperationUnknown && d.Outcome != messages.OutcomeNotSent {
			op.Checks++
		}
	case *messages.PaymentOutcomeUnknown:
		op.unknown(e.OccurredAt, d)
	case *messages.PaymentReviewOpened:
		op.ExcessMinor += d.AmountExcessMinor
		op.Claimed = op.Claimed || d.Claimed
		if op.GatewayReference == "" {
			op.GatewayReference = d.GatewayReference
		}
		if op.settled() {
			op.Review = d.Reason
		} else {
			op.settle(OperationManualReview)
		}
	case *messages.PaymentOutcomeResolved:
		op.resolve(d)
	default:
		return false
	}
	return true
}

// notSent parks the operation until retryAt; without one it is over, and another gateway is tried.
func (o *Operation) notSent(at, retryAt time.Time) {
	if o.NotSentSince.IsZero() {
		o.NotSentSince = at
	}
	if retryAt.IsZero() {
		o.settle(OperationFailed)
		return
	}
	o.Status, o.NextCheckAt = OperationNotSent, retryAt
}

// pending notes that the gateway finishes it later. Times that were counted before go on.
func (o *Operation) pending(at time.Time, d *messages.PaymentProcessing) {
	o.Status, o.NextCheckAt = OperationPending, d.NextCheckAt
	if o.PendingSince.IsZero() {
		o.PendingSince = at
	}
	if d.GatewayReference != "" {
		o.GatewayReference = d.GatewayReference
	}
}

func (o *Operation) unknown(at time.Time, d *messages.PaymentOutcomeUnknown) {
	o.Status, o.NextCheckAt = OperationUnknown, d.NextCheckAt
	o.Claimed = o.Claimed || d.Claimed
	if d.Refused != nil {
		o.Decline = d.Refused
	}
	if o.UnknownSince.IsZero() {
		o.UnknownSince = at
	}
}
