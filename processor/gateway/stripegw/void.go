package stripegw

import (
	"context"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
)

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
		// How much was released Stripe does not say.
		return r.succeeded(pi.ID, 0)
	}
	return unknown("the PaymentIntent is %q after it was canceled", pi.Status)
}

// restReleased reports whether a part was captured and the rest is no longer held.
func restReleased(pi *stripe.PaymentIntent) bool {
	return pi.Status == stripe.PaymentIntentStatusSucceeded && pi.AmountCapturable == 0 && pi.AmountReceived < pi.Amount
}

// foundVoid says what became of a void. That nothing is held any longer is what it was for, so that it has succeeded whoever canceled the
// PaymentIntent; except that Stripe did it because the authorization lapsed.
func (r *request) foundVoid(pi *stripe.PaymentIntent) messages.Outcome {
	switch {
	case pi.Status == stripe.PaymentIntentStatusCanceled && lapsed(pi):
		return ended(pi)
	case pi.Status == stripe.PaymentIntentStatusCanceled, restReleased(pi):
		return r.succeeded(pi.ID, 0)
	case pi.Status == stripe.PaymentIntentStatusSucceeded:
		return voidByState(pi)
	default:
		return notFound("the PaymentIntent is " + string(pi.Status))
	}
}

// voidByState says why a PaymentIntent cannot be canceled, by its state.
func voidByState(pi *stripe.PaymentIntent) messages.Outcome {
	switch pi.Status {
	case stripe.PaymentIntentStatusCanceled:
		return ended(pi)
	case stripe.PaymentIntentStatusSucceeded:
		return declined("nothing_to_void", "the PaymentIntent has been captured")
	default:
		return declined("invalid_request", "the PaymentIntent is "+string(pi.Status))
	}
}
