package stripegw

import (
	"context"
	"strconv"
	"strings"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
)

// MetadataCapture followed by the number of the operation marks a PaymentIntent with the amount of each capture: Stripe knows
// only the sum.
const MetadataCapture = "tender_capture_"

func (r *request) capture(ctx context.Context) messages.Outcome {
	params := &stripe.PaymentIntentCaptureParams{
		Params:          r.params(),
		AmountToCapture: stripe.Int64(r.amount),
		Metadata:        map[string]string{MetadataCapture + r.number: strconv.FormatInt(r.amount, 10)},
	}
	if !r.op.Final {
		// Only where multicapture is available; elsewhere Stripe refuses it, which is better than losing the rest.
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

// captured says that the capture is done. Of the amount Stripe says the sum; what this one moved is known as long as it is
// the only one.
func (r *request) captured(pi *stripe.PaymentIntent) messages.Outcome {
	for key := range pi.Metadata {
		if strings.HasPrefix(key, MetadataCapture) && key != MetadataCapture+r.number {
			return r.succeeded(pi.ID, 0)
		}
	}
	return r.succeeded(pi.ID, pi.AmountReceived)
}

// foundCapture says what became of a capture, by its mark. A PaymentIntent that is closed without it will never be captured by this
// operation, even if a request is still on its way.
func (r *request) foundCapture(pi *stripe.PaymentIntent) messages.Outcome {
	var sum int64
	for key, value := range pi.Metadata {
		if !strings.HasPrefix(key, MetadataCapture) {
			continue
		}
		amount, err := strconv.ParseInt(value, 10, 64)
		if err != nil || amount <= 0 || amount > amountMax {
			return unknown("the PaymentIntent's metadata %s is %q", key, value)
		}
		sum += amount
	}
	switch {
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

// captureByState says why a PaymentIntent cannot be captured, by its state; or that it was captured by this very operation.
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
