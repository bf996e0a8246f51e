package payment

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
)

// Decide answers a command that has not been answered before. It changes nothing itself: what it
// decides is in the Decision, and p stays as it was. p is the payment as loaded, its zero value if
// there is none.
//
// Decide does not look at idempotency keys: whether a command was answered before is the caller's
// to know, and a command whose answer was cut short goes to [Continue].
func Decide(p *Payment, cmd messages.Command, env Env) Decision {
	d := newDraft(p, cmd, env)
	switch body := cmd.Body.(type) {
	case *messages.Create:
		d.create(body)
	case *messages.Confirm:
		d.whenMovable(func() { d.confirm(body) })
	case *messages.Capture:
		d.whenMovable(func() { d.capture(body) })
	case *messages.Void:
		d.whenMovable(func() { d.void(body) })
	case *messages.Refund:
		d.whenMovable(func() { d.refund(body) })
	case *messages.Resume:
		d.resume(body)
	case *messages.Resolve:
		d.whenCreated(func() { d.resolve(body) })
	case *messages.Compensate:
		d.whenCreated(func() { d.compensate(body) })
	case *messages.Notify:
		d.whenCreated(func() { d.notify(body) })
	default:
		panic(fmt.Sprintf("payment: command of type %T", cmd.Body))
	}
	return d.Decision
}

// Reject refuses a command for a reason that lies outside the payment: its key was used before for
// something else.
func Reject(p *Payment, cmd messages.Command, rejection messages.CommandRejected, env Env) Decision {
	d := newDraft(p, cmd, env)
	rejection.Command, rejection.IdempotencyKey = cmd.Name(), cmd.IdempotencyKey
	d.Refusal = &rejection
	d.record(d.Refusal)
	return d.Decision
}

func (d *draft) whenCreated(decide func()) {
	if !d.Payment.Created() {
		d.refuse(messages.RejectPaymentNotFound, "no such payment")
		return
	}
	decide()
}

// whenMovable refuses to move money while a person has to look at any operation.
func (d *draft) whenMovable(decide func()) {
	d.whenCreated(func() {
		for i := range d.Payment.Operations {
			if op := &d.Payment.Operations[i]; op.InReview() {
				d.refuse(messages.RejectInvalidState, string(op.Kind)+" "+op.ID+" is in manual review")
				return
			}
		}
		decide()
	})
}

func (d *draft) create(c *messages.Create) {
	if d.Payment.Created() {
		d.refuse(messages.RejectPaymentExists, "the payment exists already")
		return
	}
	exponent, known := messages.Exponent(c.Currency)
	if !known {
		panic("payment: create was decoded with the unknown currency " + c.Currency)
	}
	method := c.CaptureMethod
	if method == "" {
		method = messages.CaptureAutomatic
	}
	d.record(&messages.PaymentCreated{
		AmountMinor: c.AmountMinor, Currency: c.Currency, Exponent: exponent, CaptureMethod: method,
		PaymentMethod: c.PaymentMethod, CustomerID: c.CustomerID, MerchantReference: c.MerchantReference,
		Country: c.Country, Metadata: c.Metadata, Retry: c.Retry,
	})
	d.authorize(c.PaymentMethod)
}

// authorize starts an authorization of the payment's whole amount at the gateway that the route
// names.
func (d *draft) authorize(paymentMethod string) {
	if reason := d.Payment.held(&Operation{Kind: messages.OperationAuthorize}); reason != "" {
		d.refuse(messages.RejectInvalidState, reason)
		return
	}
	if d.env.route().Gateway == "" {
		d.record(&messages.PaymentFailed{Failure: messages.Failure{
			Code: messages.FailureNoGateway, Message: "no routing rule names a gateway for this payment",
		}})
		return
	}
	d.route(messages.PaymentRouted{
		Attempt: messages.Attempt{Gateway: d.env.route().Gateway}, PaymentMethod: paymentMethod,
	})
}

// route records the choice of a gateway for the payment's whole amount, and asks for the call.
func (d *draft) route(choice messages.PaymentRouted) {
	d.routeTo(choice.Gateway, choice)
	d.call(d.Payment.Operations[len(d.Payment.Operations)-1].ID)
}

// routeTo records the choice of a gateway.
func (d *draft) routeTo(gateway string, choice messages.PaymentRouted) {
	choice.Attempt = messages.Attempt{OperationID: d.Payment.nextOperationID(), Gateway: gateway, Attempt: 1}
	choice.Rule, choice.AmountMinor = d.env.route().Rule, d.Payment.AmountMinor
	d.record(&choice)
}

func (d *draft) confirm(c *messages.Confirm) {
	p := d.Payment
	if d.refuseWhile(isAuthorization, isVoid) {
		return
	}
	switch p.Status {
	case messages.StatusRequiresAction:
		if c.PaymentMethod != "" {
			d.refuse(messages.RejectPaymentMethodUnexpected,
				"the payment waits for the customer's action, not for another payment method")
			return
		}
		waiting := p.latestAuthorization(func(op *Operation) bool { return op.Status == OperationRequiresAction })
		if waiting == nil {
			d.refuseState("confirmed")
			return
		}
		d.send(waiting, messages.OperationSent{Kind: messages.OperationConfirm, AmountMinor: p.AmountMinor})
	case messages.StatusRequiresPaymentMethod:
		if c.PaymentMethod == "" {
			d.refuse(messages.RejectPaymentMethodRequired, "the payment was declined: confirm it with another payment method")
			return
		}
		d.authorize(c.PaymentMethod)
	default:
		d.refuseState("confirmed")
	}
}

func (d *draft) capture(c *messages.Capture) {
	p := d.Payment
	if d.refuseWhile(isAuthorization, isVoid) {
		return
	}
	switch {
	case p.Closed == messages.StatusExpired, p.UncapturedMinor() > 0 && d.pastCaptureBefore():
		d.refuse(messages.RejectAuthorizationExpired, "the authorization has expired")
		return
	case p.Closed != "" || p.AuthorizedMinor == 0:
		d.refuseState("captured")
		return
	}
	final := c.Final || p.CaptureMethod != messages.CaptureManualMultiple
	// A final capture releases what the others have not taken yet, so it waits for them, and they
	// for it.
	if open := p.openAmong(isCapture); open != nil && (final || open.Final) {
		d.refuseOpen(open)
		return
	}
	amount := p.CapturableMinor()
	holding := p.latestAuthorization(func(op *Operation) bool { return p.uncapturedAt(op) > 0 })
	switch {
	case amount == 0 || holding == nil:
		d.refuse(messages.RejectNothingToCapture, "nothing is left to capture")
		return
	case c.AmountMinor != nil && *c.AmountMinor > amount:
		d.refuse(messages.RejectAmountExceedsCapturable, fmt.Sprintf("%d exceeds the capturable %d", *c.AmountMinor, amount))
		return
	case c.AmountMinor != nil:
		amount = *c.AmountMinor
	}
	d.send(holding, messages.OperationSent{Kind: messages.OperationCapture, AmountMinor: amount, Final: final})
}

// void cancels what can still be canceled: an authorization that holds money, that waits for the
// customer, or that the gateway has not finished yet.
func (d *draft) void(c *messages.Void) {
	p := d.Payment
	if open := p.openAmong(isAuthorization); open != nil && (open.Status != OperationPending || p.reference(open) == "") {
		d.refuseOpen(open)
		return
	}
	if d.refuseWhile(isVoid, isCapture) {
		return
	}
	target := p.latestAuthorization(func(op *Operation) bool {
		return op.Status == OperationRequiresAction || op.Status == OperationPending || p.uncapturedAt(op) > 0
	})
	switch {
	case p.Closed != "":
		d.refuseState("voided")
	case target != nil:
		d.send(target, messages.OperationSent{
			Kind: messages.OperationVoid, AmountMinor: p.uncapturedAt(target), Reason: c.Reason,
		})
	case p.AuthorizedMinor == 0:
		d.record(&messages.PaymentVoided{Reason: c.Reason})
	default:
		d.refuse(messages.RejectInvalidState, "everything is captured: refund it instead")
	}
}

func (d *draft) refund(c *messages.Refund) {
	p := d.Payment
	if p.CapturedMinor == 0 {
		if d.refuseWhile(isAuthorization, isVoid, isCapture) {
			return
		}
		d.refuseState("refunded")
		return
	}
	amount := p.RefundableMinor()
	switch {
	case amount == 0:
		d.refuse(messages.RejectNothingToRefund, "nothing is left to refund"+d.disputed())
		return
	case c.AmountMinor != nil && *c.AmountMinor > amount:
		d.refuse(messages.RejectAmountExceedsRefundable,
			fmt.Sprintf("%d exceeds the refundable %d", *c.AmountMinor, amount)+d.disputed())
		return
	case c.AmountMinor != nil:
		amount = *c.AmountMinor
	}
	// A refund goes to the gateway that has the money, under the reference that it has there.
	source := p.latestAuthorization(func(op *Operation) bool { return p.refundableAt(op) >= amount })
	if source == nil {
		d.refuse(messages.RejectAmountExceedsRefundable,
			fmt.Sprintf("the money is spread over several authorizations, none of which can give %d back", amount))
		return
	}
	id := p.nextOperationID()
	d.record(&messages.RefundCreated{
		Attempt:           messages.Attempt{OperationID: id, Gateway: source.Gateway, Attempt: 1},
		TargetOperationID: source.ID, AmountMinor: amount, Reason: c.Reason,
	})
	d.call(id)
}

// disputed explains a refusal by the disputes that hold money back.
func (d *draft) disputed() string {
	if held := d.Payment.heldByDisputesMinor(isAny); held > 0 {
		return fmt.Sprintf("; %d is in dispute or was lost in one", held)
	}
	return ""
}

// send records an operation as sent to the gateway of its target, and asks for the call.
func (d *draft) send(target *Operation, op messages.OperationSent) {
	op.TargetOperationID = target.ID
	op.Attempt = messages.Attempt{OperationID: d.Payment.nextOperationID(), Gateway: target.Gateway, Attempt: 1}
	reason := d.Payment.held(&Operation{
		ID: op.OperationID, Kind: op.Kind, Target: target.ID, AmountMinor: op.AmountMinor, Purpose: op.Purpose,
	})
	switch {
	case reason == "":
		d.record(&op)
		d.call(op.OperationID)
	case op.Purpose == "" || op.Purpose == messages.PurposeCompensate:
		d.refuse(messages.RejectInvalidState, reason)
	}
}

func (d *draft) pastCaptureBefore() bool {
	return !d.Payment.CaptureBefore.IsZero() && !d.env.Now.Before(d.Payment.CaptureBefore)
}

// refuseWhile refuses the command if an operation of the given sorts has not settled.
func (d *draft) refuseWhile(sorts ...func(*Operation) bool) bool {
	open := d.Payment.openAmong(sorts...)
	if open == nil {
		return false
	}
	d.refuseOpen(open)
	return true
}

func (d *draft) refuseOpen(op *Operation) {
	switch op.Status {
	case OperationUnknown:
		d.refuse(messages.RejectOutcomeUnknown, "the outcome of "+string(op.Kind)+" "+op.ID+" is not known yet")
	case OperationManualReview:
		d.refuse(messages.RejectInvalidState, string(op.Kind)+" "+op.ID+" is in manual review")
	case OperationSent, OperationNotSent, OperationPending, OperationRequiresAction, OperationSucceeded, OperationFailed:
		d.refuse(messages.RejectOperationInProgress, string(op.Kind)+" "+op.ID+" is in progress")
	}
}

func (d *draft) refuseState(participle string) {
	d.refuse(messages.RejectInvalidState, "a payment that is "+string(d.Payment.Status)+" can't be "+participle)
}

// draft collects the events of one decision, applying each to a copy of the payment as it goes.
type draft struct {
	Decision
	cmd messages.Command
	env Env
}

func newDraft(p *Payment, cmd messages.Command, env Env) *draft {
	env.Now = micros(env.Now)
	next := p.Clone()
	if next.Version == 0 {
		next.ID, next.Tenant = cmd.PaymentID, cmd.Tenant
	}
	return &draft{Decision: Decision{Payment: next}, cmd: cmd, env: env}
}

// correlationID is the command's, but for a resume: that only continues what another command began.
func (d *draft) correlationID() string {
	if d.cmd.Name() == messages.CommandResume && d.Payment.CorrelationID != "" {
		return d.Payment.CorrelationID
	}
	return d.cmd.CorrelationID
}

// record appends an event caused by the command.
func (d *draft) record(data messages.EventData) { d.recordCausedBy(data, d.cmd.ID) }

// recordCausedBy appends an event. Impossible events are bugs, not inputs.
func (d *draft) recordCausedBy(data messages.EventData, cause string) {
	e := messages.Event{
		PaymentID: d.Payment.ID, Tenant: d.Payment.Tenant, Version: d.Payment.Version + 1, OccurredAt: d.env.Now,
		CorrelationID: d.correlationID(), CausationID: cause, Traceparent: d.cmd.Traceparent, Data: data,
	}
	if err := Apply(d.Payment, e); err != nil {
		panic("payment: decided the impossible: " + err.Error())
	}
	e.Status = d.Payment.Status
	d.Events = append(d.Events, e)
}

func (d *draft) refuse(code messages.RejectionCode, message string) {
	d.Refusal = &messages.CommandRejected{
		Command: d.cmd.Name(), Code: code, Message: message, IdempotencyKey: d.cmd.IdempotencyKey,
	}
	d.record(d.Refusal)
}
