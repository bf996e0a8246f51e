package stripegw

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
)

// MetadataCapture followed by the number of the operation marks a PaymentIntent with the amount of
// each capture: Stripe knows only the sum.
const MetadataCapture = "tender_capture_"

func (r *request) capture(ctx context.Context) messages.Outcome {
	params := &stripe.PaymentIntentCaptureParams{
		Params:          r.params(),
		AmountToCapture: stripe.Int64(r.amount),
		Metadata:        map[string]string{MetadataCapture + r.number: strconv.FormatInt(r.amount, 10)},
	}
	if !r.op.Final {
		// This needs multicapture. Without it Stripe refuses the request, which is better than
		// losing the rest.
		params.FinalCapture = stripe.Bool(false)
	}
	pi, err := r.client.V1PaymentIntents.Capture(ctx, r.op.GatewayReference, params)
	if err != nil {
		return r.refusedByState(ctx, err, r.captureByState)
	}
	if o, strange := r.foreign(pi); strange {
		return o
	}
	switch {
	case !r.marked(pi):
		return unknown("Stripe's answer does not show this capture")
	case pi.Status == stripe.PaymentIntentStatusProcessing:
		return messages.Outcome{Kind: messages.OutcomePending, GatewayReference: pi.ID}
	case pi.Status == stripe.PaymentIntentStatusSucceeded, pi.Status == stripe.PaymentIntentStatusRequiresCapture && !r.op.Final:
		return r.captured(pi)
	default:
		return unknown("the PaymentIntent is %q after the capture", pi.Status)
	}
}

func (r *request) marked(pi *stripe.PaymentIntent) bool {
	_, found := pi.Metadata[MetadataCapture+r.number]
	return found
}

// captured returns success with the amount of this capture. Stripe gives the sum of all captures
// only: the sum is this one's as long as it is the only one, and otherwise each mark holds the
// amount of its capture, if together they are the sum.
func (r *request) captured(pi *stripe.PaymentIntent) messages.Outcome {
	sum, captures, problem := marks(pi)
	switch {
	case problem != "":
		return unknown("%s", problem)
	case captures == 1:
		return r.succeeded(pi.ID, pi.AmountReceived)
	case sum != pi.AmountReceived:
		return unknown("the PaymentIntent is marked with captures of %d, but has received %d", sum, pi.AmountReceived)
	}
	return r.succeeded(pi.ID, r.amount)
}

// marks returns the sum and the number of the captures that a PaymentIntent is marked with, or what
// is wrong with a mark.
func marks(pi *stripe.PaymentIntent) (sum int64, captures int, problem string) {
	for key, value := range pi.Metadata {
		if !strings.HasPrefix(key, MetadataCapture) {
			continue
		}
		amount, err := strconv.ParseInt(value, 10, 64)
		if err != nil || amount <= 0 || amount > amountMax {
			return 0, 0, fmt.Sprintf("the PaymentIntent's metadata %s is %q", key, value)
		}
		sum, captures = sum+amount, captures+1
	}
	return sum, captures, ""
}

// foundCapture returns the outcome of a capture, by its mark. This operation will never capture a
// PaymentIntent that is closed without the mark, even if a request is still on its way.
func (r *request) foundCapture(pi *stripe.PaymentIntent) messages.Outcome {
	sum, _, problem := marks(pi)
	switch {
	case problem != "":
		return unknown("%s", problem)
	case r.marked(pi) && pi.Status == stripe.PaymentIntentStatusProcessing:
		return messages.Outcome{Kind: messages.OutcomePending, GatewayReference: pi.ID}
	case r.marked(pi) && sum > pi.AmountReceived:
		return unknown("the PaymentIntent is marked with captures of %d, but has received %d", sum, pi.AmountReceived)
	case r.marked(pi):
		return r.captured(pi)
	case pi.Status == stripe.PaymentIntentStatusCanceled, pi.Status == stripe.PaymentIntentStatusSucceeded:
		return r.captureByState(pi)
	default:
		return notFound("the PaymentIntent does not show this capture")
	}
}

// captureByState returns the reason why a PaymentIntent in its state cannot be captured, or the
// success of this very operation.
func (r *request) captureByState(pi *stripe.PaymentIntent) messages.Outcome {
	if r.marked(pi) {
		return r.foundCapture(pi)
	}
	switch pi.Status {
	case stripe.PaymentIntentStatusCanceled:
		return ended(pi)
	case stripe.PaymentIntentStatusSucceeded:
		return declined("amount_exceeds_authorized", "the PaymentIntent has been captured")
	case stripe.PaymentIntentStatusRequiresAction, stripe.PaymentIntentStatusRequiresConfirmation,
		stripe.PaymentIntentStatusRequiresPaymentMethod:
		return declined("authentication_pending", "the PaymentIntent is "+string(pi.Status))
	default:
		return declined("invalid_request", "the PaymentIntent is "+string(pi.Status))
	}
}

// void cancels a PaymentIntent, which releases all that is not captured.
func (r *request) void(ctx context.Context) messages.Outcome {
	pi, err := r.client.V1PaymentIntents.Cancel(ctx, r.op.GatewayReference, &stripe.PaymentIntentCancelParams{
		Params: r.params(), Expand: latestCharge(),
	})
	if err != nil {
		return r.refusedByState(ctx, err, voidByState)
	}
	if o, strange := r.foreign(pi); strange {
		return o
	}
	if pi.Status == stripe.PaymentIntentStatusCanceled || restReleased(pi) {
		return voided(pi)
	}
	return unknown("the PaymentIntent is %q after it was canceled", pi.Status)
}

// voided returns the success of a void, which releases the rest: Stripe does not give its amount.
func voided(pi *stripe.PaymentIntent) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: pi.ID}
}

// restReleased reports whether a part was captured and the rest is no longer held.
func restReleased(pi *stripe.PaymentIntent) bool {
	return pi.Status == stripe.PaymentIntentStatusSucceeded && pi.AmountCapturable == 0 && pi.AmountReceived < pi.Amount
}

// foundVoid returns the outcome of a void. It has succeeded when nothing is held any longer, also
// if another request canceled the PaymentIntent; but not if Stripe did so because the
// authorization lapsed.
func (r *request) foundVoid(pi *stripe.PaymentIntent) messages.Outcome {
	switch {
	case pi.Status == stripe.PaymentIntentStatusCanceled && lapsed(pi):
		return ended(pi)
	case pi.Status == stripe.PaymentIntentStatusCanceled, restReleased(pi):
		return voided(pi)
	case pi.Status == stripe.PaymentIntentStatusSucceeded:
		return voidByState(pi)
	default:
		return notFound("the PaymentIntent is " + string(pi.Status))
	}
}

// voidByState returns the reason why a PaymentIntent in its state cannot be canceled. One that was
// captured has kept the money, which is no lapse.
func voidByState(pi *stripe.PaymentIntent) messages.Outcome {
	switch pi.Status {
	case stripe.PaymentIntentStatusCanceled:
		return ended(pi)
	case stripe.PaymentIntentStatusSucceeded:
		return declined("already_captured", "the PaymentIntent has been captured")
	default:
		return declined("invalid_request", "the PaymentIntent is "+string(pi.Status))
	}
}

// refundsMax is the number of refunds of one payment that are searched.
const refundsMax = 1000

func (r *request) refund(ctx context.Context) messages.Outcome {
	params := &stripe.RefundCreateParams{
		Params: r.params(), Amount: stripe.Int64(r.amount), PaymentIntent: stripe.String(r.op.GatewayReference), Metadata: r.metadata(),
	}
	switch r.op.Reason {
	case messages.RefundDuplicate, messages.RefundFraudulent, messages.RefundRequestedByCustomer:
		params.Reason = stripe.String(r.op.Reason) // The same words.
	default:
	}
	refund, err := r.client.V1Refunds.Create(ctx, params)
	if err == nil {
		return r.refunded(refund)
	}
	o := r.judge(err)
	if o.Decline == nil || o.Decline.Code != codeOverRefund {
		return o
	}
	// Perhaps it is too much because this very operation has refunded it before.
	earlier, err := r.findRefund(ctx)
	switch {
	case err != nil:
		return unknown("%s; and could not look for an earlier refund: %s", o.Detail, r.judge(err).Detail)
	case earlier.Kind == messages.OutcomeNotFound:
		return o
	default:
		return earlier
	}
}

// refunded returns the outcome for the state of a refund. One that succeeded may still fail days
// later, when the bank sends it back.
func (r *request) refunded(refund *stripe.Refund) messages.Outcome {
	switch {
	case refund.ID == "", refund.Metadata[MetadataOperation] != r.op.ID:
		return unknown("Stripe answered about operation %q", refund.Metadata[MetadataOperation])
	case refund.PaymentIntent == nil || refund.PaymentIntent.ID != r.op.GatewayReference:
		return unknown("Stripe answered about a refund of another PaymentIntent")
	case !strings.EqualFold(string(refund.Currency), r.op.Currency):
		return unknown("Stripe answered about an amount in %q", refund.Currency)
	}
	switch refund.Status {
	case stripe.RefundStatusSucceeded:
		return r.succeeded(refund.ID, refund.Amount)
	case stripe.RefundStatusPending, stripe.RefundStatusRequiresAction:
		// The customer has to name an account for the money; Stripe asks for it.
		return messages.Outcome{Kind: messages.OutcomePending, GatewayReference: refund.ID}
	case stripe.RefundStatusFailed, stripe.RefundStatusCanceled:
		o := declined("refund_failed", fmt.Sprintf("the refund is %s: %s", refund.Status, refund.FailureReason))
		o.GatewayReference = refund.ID
		return o
	default:
		return unknown("the refund is %q", refund.Status)
	}
}

// findRefund looks for the refund that the operation made among those of its PaymentIntent.
func (r *request) findRefund(ctx context.Context) (messages.Outcome, error) {
	params := &stripe.RefundListParams{PaymentIntent: stripe.String(r.op.GatewayReference)}
	params.Limit = stripe.Int64(100)
	var found *stripe.Refund
	seen := 0
	for refund, err := range r.client.V1Refunds.List(ctx, params).All(ctx) {
		if missing(err) {
			return notFound("there is no such PaymentIntent"), nil
		}
		if err != nil {
			return messages.Outcome{}, fmt.Errorf("list refunds: %w", err)
		}
		if seen++; seen > refundsMax {
			return messages.Outcome{}, fmt.Errorf("list refunds: more than %d", refundsMax)
		}
		if refund.Metadata[MetadataOperation] != r.op.ID {
			continue
		}
		if found != nil {
			return messages.Outcome{}, errTwice
		}
		found = refund
	}
	if found == nil {
		return notFound("the PaymentIntent has no such refund"), nil
	}
	return r.refunded(found), nil
}

// errTwice says that Stripe has two objects of one operation, which should be impossible: a person
// has to look.
var errTwice = errors.New("two objects at Stripe name this operation")
