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
	p.Status = p.status()
	if problem := p.brokenLimit(); problem != "" {
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

// brokenLimit holds the money to its limits at every step of every history.
func (p *Payment) brokenLimit() string {
	switch {
	case p.AuthorizedMinor < 0 || p.CapturedMinor < 0 || p.RefundedMinor < 0 || p.ReleasedMinor < 0:
		return "an amount is negative"
	case p.AuthorizedMinor > p.AmountMinor:
		return "authorized more than the payment's amount"
	case p.CapturableMinor() < 0:
		return "captured, capturing and released exceed what is authorized"
	case p.RefundableMinor() < 0:
		return "refunded and refunding exceed what is captured"
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
			Kind: messages.OperationRefund, AmountMinor: d.AmountMinor, Reason: string(d.Reason),
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
	case *messages.Dispute:
		p.applyDispute(d)
		return ""
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
	p.release(d.AmountReleasedMinor, messages.StatusExpired)
	return problem
}

func (p *Payment) applyVoided(d *messages.PaymentVoided) string {
	problem := p.settleIfAny(d.OperationID, d.Tries, OperationSucceeded)
	p.release(d.AmountReleasedMinor, messages.StatusVoided)
	return problem
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

// release gives back what was not captured; a payment that captured nothing is closed by it.
func (p *Payment) release(amountMinor int64, closed messages.Status) {
	p.ReleasedMinor += amountMinor
	p.endAction(OperationFailed)
	if p.CapturedMinor == 0 {
		p.Closed = closed
	}
}

func (p *Payment) applyFailed(d *messages.PaymentFailed) string {
	problem := p.settleIfAny(d.OperationID, d.Tries, OperationFailed)
	p.endAction(OperationFailed)
	p.Closed, p.FailureCode = messages.StatusFailed, d.Code
	return problem
}

func (p *Payment) applyDispute(d *messages.Dispute) {
	for i := range p.Disputes {
		if p.Disputes[i].ID == d.DisputeID {
			p.Disputes[i].Status = d.Type
			return
		}
	}
	p.Disputes = append(p.Disputes, Dispute{
		ID: d.DisputeID, Status: d.Type, AmountMinor: d.AmountMinor, RespondBefore: d.RespondBefore,
	})
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
	o.Status, o.Pending, o.NextCheckAt = to, false, time.Time{}
}

// applyToOperation folds the events that are about one attempt at one operation.
func (p *Payment) applyToOperation(e messages.Event) (problem string) {
	if d, ok := e.Data.(*messages.OperationSent); ok && p.Operation(d.OperationID) == nil {
		return p.startOperation(e, Operation{
			Kind: d.Kind, AmountMinor: d.AmountMinor, Final: d.Final, Reason: d.Reason, Expires: d.Expires,
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
	if op.settled() && !reopens(e.Data) {
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

// applyReversal folds what takes a success back; false if the event is of another sort.
func (p *Payment) applyReversal(op *Operation, data messages.EventData) (reversed bool, problem string) {
	switch d := data.(type) {
	case *messages.PaymentCaptureReversed:
		if op.Status != OperationSucceeded || isVoid(op) || op.Kind == messages.OperationRefund {
			return true, "takes back operation " + op.ID + ", which captured nothing"
		}
		op.ReversedMinor += d.AmountMinor
		p.CapturedMinor -= d.AmountMinor
		p.ReleasedMinor += d.AmountMinor
		if p.CapturedMinor == 0 && p.UncapturedMinor() == 0 {
			p.Closed, p.FailureCode = messages.StatusFailed, d.Code
		}
		return true, op.brokenReversal()
	case *messages.RefundFailed:
		if op.Status != OperationSucceeded {
			return false, ""
		}
		op.ReversedMinor += d.AmountMinor
		p.RefundedMinor -= d.AmountMinor
		if op.ReversedMinor == op.AmountMinor {
			op.settle(OperationFailed)
		}
		return true, op.brokenReversal()
	default:
		return false, ""
	}
}

func (o *Operation) brokenReversal() string {
	if o.ReversedMinor > o.AmountMinor {
		return "takes back more than operation " + o.ID + " moved"
	}
	return ""
}

// reopens reports whether an event may be about an operation that is settled: a contradiction, its
// resolution, a reversal.
func reopens(data messages.EventData) bool {
	switch data.(type) {
	case *messages.PaymentReviewOpened, *messages.PaymentOutcomeResolved, *messages.PaymentCaptureReversed, *messages.RefundFailed:
		return true
	default:
		return false
	}
}

// resolve ends an unknown outcome, a review or a contradiction. Unless the operation already stands
// as found, it is open again until the next event says what the finding means for the money.
func (o *Operation) resolve(succeeded bool) {
	o.Contradicted = false
	if o.settled() && succeeded == (o.Status == OperationSucceeded) {
		return
	}
	o.settle(OperationSent)
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
	case *messages.OperationPending:
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
	case *messages.OperationPending:
		op.Pending, op.NextCheckAt = true, d.NextCheckAt
		op.GatewayReference = d.GatewayReference
	case *messages.OperationChecked:
		op.NextCheckAt = d.NextCheckAt
		if op.Status == OperationUnknown && d.Outcome != messages.OutcomeNotSent {
			op.Checks++
		}
	case *messages.PaymentOutcomeUnknown:
		op.Status, op.Pending = OperationUnknown, false
		op.UnknownSince, op.NextCheckAt = e.OccurredAt, d.NextCheckAt
	case *messages.PaymentReviewOpened:
		if op.settled() {
			op.Contradicted = true
		} else {
			op.settle(OperationManualReview)
		}
	case *messages.PaymentOutcomeResolved:
		op.resolve(d.Outcome == messages.OutcomeSucceeded)
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

// applyOutcome folds what settles the operation, or hands it to the customer.
func (p *Payment) applyOutcome(op *Operation, data messages.EventData) {
	switch d := data.(type) {
	case *messages.PaymentActionRequired:
		op.settle(OperationRequiresAction)
		op.GatewayReference, p.GatewayReference = d.GatewayReference, d.GatewayReference
		p.NextAction, p.ConfirmBefore = &d.NextAction, d.ConfirmBefore
	case *messages.PaymentAuthorized:
		p.settleAuthorization(op, d.GatewayReference, d.AmountMinor)
		p.CaptureBefore, p.WarnAt = d.CaptureBefore, d.WarnAt
	case *messages.PaymentCaptured:
		if isAuthorization(op) {
			p.settleAuthorization(op, d.GatewayReference, d.AmountMinor)
		}
		op.settle(OperationSucceeded)
		op.GatewayReference = d.GatewayReference
		p.CapturedMinor += d.AmountMinor
		p.ReleasedMinor += d.AmountReleasedMinor
	case *messages.OperationDeclined:
		op.settle(OperationFailed)
		op.DeclineCode = d.Code
	case *messages.PaymentDeclined:
		op.settle(OperationFailed)
		op.DeclineCode = d.Code
		p.endAction(OperationFailed)
		p.Decline, p.RetryAt = &d.Decline, d.RetryAt
		if d.Class == messages.DeclineNeverRetry {
			p.Closed, p.FailureCode = messages.StatusFailed, d.Code
		}
	case *messages.PaymentCaptureFailed, *messages.PaymentVoidFailed, *messages.RefundFailed:
		op.settle(OperationFailed)
	case *messages.RefundSucceeded:
		op.settle(OperationSucceeded)
		op.GatewayReference = d.GatewayReference
		p.RefundedMinor += d.AmountMinor
	}
}

func (p *Payment) settleAuthorization(op *Operation, reference string, amountMinor int64) {
	op.settle(OperationSucceeded)
	op.GatewayReference, p.GatewayReference = reference, reference
	p.AuthorizedMinor += amountMinor
	// A person may find out that what was recorded as failed went through after all.
	p.Closed, p.FailureCode, p.Decline = "", "", nil
	p.endAction(OperationSucceeded)
}
