package stripegw

import (
	"context"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
)

// authorize creates and confirms a PaymentIntent in one request.
func (r *request) authorize(ctx context.Context) messages.Outcome {
	params := &stripe.PaymentIntentCreateParams{
		Params:             r.params(),
		Amount:             stripe.Int64(r.amount),
		Currency:           stripe.String(strings.ToLower(r.op.Currency)),
		CaptureMethod:      stripe.String(r.captureMethod()),
		Confirm:            stripe.Bool(true),
		ConfirmationMethod: stripe.String(stripe.PaymentIntentConfirmationMethodManual),
		PaymentMethod:      stripe.String(r.op.PaymentMethod),
		PaymentMethodTypes: []*string{stripe.String("card")},
		Metadata:           r.metadata(),
		Expand:             latestCharge(),
	}
	if r.config.ReturnURL != "" {
		params.ReturnURL = stripe.String(r.config.ReturnURL)
	}
	// A saved payment method can be used with its customer only. Other ids are the merchant's own
	// and mean nothing to Stripe.
	if strings.HasPrefix(r.op.CustomerID, "cus_") {
		params.Customer = stripe.String(r.op.CustomerID)
	}
	if r.config.Multicapture && !r.op.Capture {
		params.PaymentMethodOptions = &stripe.PaymentIntentCreatePaymentMethodOptionsParams{
			Card: &stripe.PaymentIntentCreatePaymentMethodOptionsCardParams{RequestMulticapture: stripe.String("if_available")},
		}
	}
	pi, err := r.client.V1PaymentIntents.Create(ctx, params)
	if err != nil {
		return r.judge(err)
	}
	if o, strange := r.foreign(pi); strange {
		return o
	}
	return r.authorization(pi)
}

func (r *request) captureMethod() stripe.PaymentIntentCaptureMethod {
	if r.op.Capture {
		return stripe.PaymentIntentCaptureMethodAutomatic
	}
	return stripe.PaymentIntentCaptureMethodManual
}

// confirm goes on after the customer's action. It looks first: confirming before the customer is
// done would begin the action anew.
func (r *request) confirm(ctx context.Context) messages.Outcome {
	pi, err := r.intent(ctx, r.op.GatewayReference)
	if missing(err) {
		return declined("authorization_not_found", "there is no such PaymentIntent")
	}
	if err != nil {
		return r.notAsked("see whether the customer is done", err)
	}
	if o, strange := r.foreign(pi); strange {
		return o
	}
	if pi.Status != stripe.PaymentIntentStatusRequiresConfirmation {
		return r.authorization(pi)
	}
	params := &stripe.PaymentIntentConfirmParams{Params: r.params(), Expand: latestCharge()}
	if r.config.ReturnURL != "" {
		params.ReturnURL = stripe.String(r.config.ReturnURL)
	}
	pi, err = r.client.V1PaymentIntents.Confirm(ctx, r.op.GatewayReference, params)
	if err != nil {
		return r.judge(err)
	}
	if o, strange := r.foreign(pi); strange {
		return o
	}
	return r.authorization(pi)
}

// foundConfirm returns the outcome of a confirm. While the PaymentIntent waits for one, none has
// been made.
func (r *request) foundConfirm(pi *stripe.PaymentIntent) messages.Outcome {
	if pi.Status == stripe.PaymentIntentStatusRequiresConfirmation {
		return notFound("the PaymentIntent still waits to be confirmed")
	}
	return r.authorizationFound(pi)
}

// authorization returns the outcome of an authorization, by the state of its PaymentIntent.
func (r *request) authorization(pi *stripe.PaymentIntent) messages.Outcome {
	switch pi.Status {
	case stripe.PaymentIntentStatusSucceeded, stripe.PaymentIntentStatusRequiresCapture:
		return r.authorized(pi)
	case stripe.PaymentIntentStatusRequiresAction, stripe.PaymentIntentStatusRequiresConfirmation:
		return messages.Outcome{Kind: messages.OutcomeRequiresAction, GatewayReference: pi.ID, NextAction: nextAction(pi)}
	case stripe.PaymentIntentStatusProcessing:
		return messages.Outcome{Kind: messages.OutcomePending, GatewayReference: pi.ID}
	case stripe.PaymentIntentStatusRequiresPaymentMethod:
		return declinedIntent(pi)
	case stripe.PaymentIntentStatusCanceled:
		return ended(pi)
	default:
		return unknown("the PaymentIntent is %q", pi.Status)
	}
}

func (r *request) authorized(pi *stripe.PaymentIntent) messages.Outcome {
	switch {
	case pi.CaptureMethod != r.captureMethod():
		return unknown("the PaymentIntent's capture method is %q", pi.CaptureMethod)
	case !r.op.Capture:
		o := r.succeeded(pi.ID, pi.Amount)
		if o.Kind == messages.OutcomeSucceeded && pi.Status == stripe.PaymentIntentStatusRequiresCapture {
			o.CaptureBefore = captureBefore(pi)
		}
		return o
	case pi.Status != stripe.PaymentIntentStatusSucceeded:
		return unknown("the PaymentIntent is %q, although it captures by itself", pi.Status)
	default:
		return r.succeeded(pi.ID, pi.AmountReceived)
	}
}

// captureBefore returns the time at which the authorization lapses, zero if Stripe does not say.
func captureBefore(pi *stripe.PaymentIntent) time.Time {
	charge := pi.LatestCharge
	if charge == nil || charge.PaymentMethodDetails == nil || charge.PaymentMethodDetails.Card == nil ||
		charge.PaymentMethodDetails.Card.CaptureBefore <= 0 {
		return time.Time{}
	}
	return time.Unix(charge.PaymentMethodDetails.Card.CaptureBefore, 0).UTC()
}

// nextAction returns the customer's action. Without a page of Stripe's, Stripe.js goes on in the
// shop with the client secret: handleNextAction, and then a confirm.
func nextAction(pi *stripe.PaymentIntent) *messages.NextAction {
	if a := pi.NextAction; a != nil && a.RedirectToURL != nil && a.RedirectToURL.URL != "" {
		return &messages.NextAction{Type: "redirect", URL: a.RedirectToURL.URL}
	}
	return &messages.NextAction{Type: "three_d_secure", ClientSecret: pi.ClientSecret}
}

// authorizationFound returns the outcome of an authorization in a lookup, with its present state.
// One that was authorized and then canceled has succeeded, and has been released since.
func (r *request) authorizationFound(pi *stripe.PaymentIntent) messages.Outcome {
	o := r.authorization(pi)
	if pi.Status == stripe.PaymentIntentStatusCanceled && wasAuthorized(pi) && pi.CaptureMethod == r.captureMethod() {
		o = r.succeeded(pi.ID, pi.Amount)
	}
	if o.Kind != messages.OutcomeSucceeded {
		return o
	}
	captured, exact := FromStripe(pi.AmountReceived, r.op.Currency)
	released, exactToo := FromStripe(max(pi.Amount-pi.AmountReceived-pi.AmountCapturable, 0), r.op.Currency)
	if !exact || !exactToo {
		return unknown("the PaymentIntent's amounts of %d and %d %s are none", pi.AmountReceived, pi.AmountCapturable, r.op.Currency)
	}
	o.Authorization = &messages.AuthorizationState{CapturedMinor: captured, ReleasedMinor: released}
	return o
}

// wasAuthorized reports whether the issuer once approved a PaymentIntent: it has a charge that went
// through, captured or not.
func wasAuthorized(pi *stripe.PaymentIntent) bool {
	return pi.LatestCharge != nil && pi.LatestCharge.Status == stripe.ChargeStatusSucceeded
}

// ended returns the decline for a canceled PaymentIntent.
func ended(pi *stripe.PaymentIntent) messages.Outcome {
	if lapsed(pi) {
		return declined("authorization_expired", "Stripe has canceled the PaymentIntent: "+string(pi.CancellationReason))
	}
	return declined("authorization_voided", "the PaymentIntent is canceled")
}

// lapsed reports whether Stripe itself canceled the PaymentIntent.
func lapsed(pi *stripe.PaymentIntent) bool {
	switch pi.CancellationReason {
	case stripe.PaymentIntentCancellationReasonAutomatic, stripe.PaymentIntentCancellationReasonExpired:
		return true
	default:
		return false
	}
}
