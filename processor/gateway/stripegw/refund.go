package stripegw

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
)

// refundsMax is how many refunds of one payment are looked through.
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
	// Too much, because this very operation has refunded it before?
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

// refunded says what the state of a refund means. One that succeeded may still fail days later, when the bank sends it back.
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
		// Whoever gets the money back has to say where to; Stripe asks them itself.
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

// errTwice says that Stripe has two objects of one operation. It cannot be, so that a person has to look.
var errTwice = errors.New("two objects at Stripe name this operation")
