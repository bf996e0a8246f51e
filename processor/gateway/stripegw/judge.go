package stripegw

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/internal/wire"
)

// credentialsRest is the time for which Stripe is left alone after it turned the key away: trying
// again at once would bring the same.
const credentialsRest = 10 * time.Second

// judge returns the outcome that an error of a mutating call proves.
func (r *request) judge(err error) messages.Outcome {
	var answer *stripe.Error
	var failure *wire.ExchangeError
	var odd *strangeError
	switch {
	case errors.As(err, &answer):
		return r.judgeAnswer(answer)
	case errors.As(err, &failure) && !failure.Sent:
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: failure.Error()}
	case errors.As(err, &failure):
		return unknown("%v", failure)
	case errors.As(err, &odd):
		o := unknown("%v", odd)
		if odd.retryAfter > 0 {
			o.RetryAfter, o.Rest = odd.retryAfter, messages.RestGateway
		}
		return o
	case errors.Is(err, errTwice), errors.Is(err, errTooMany), errors.Is(err, errNameless):
		return unknown("%v", err)
	default:
		// The error quotes the answer, which may hold a client secret.
		return unknown("Stripe's answer cannot be read")
	}
}

// judgeAnswer returns the outcome that an error of Stripe's proves.
func (r *request) judgeAnswer(e *stripe.Error) messages.Outcome {
	rest := wire.RetryAfter(headerOf(e))
	switch {
	case e.HTTPStatusCode == http.StatusUnauthorized:
		// Stripe checks the key before anything else. The message would repeat a part of it.
		return messages.Outcome{
			Kind: messages.OutcomeNotSent, Detail: "Stripe turned the API key away",
			RetryAfter: max(rest, credentialsRest), Rest: messages.RestCredentials,
		}
	case r.moved(e.PaymentIntent):
		return unknown("%s, although the PaymentIntent is %s", describe(e), e.PaymentIntent.Status)
	case e.HTTPStatusCode == http.StatusPaymentRequired && e.Type == stripe.ErrorTypeCard:
		return declinedCard(e)
	case e.Type == stripe.ErrorTypeInvalidRequest && refused(e.HTTPStatusCode):
		return r.refused(e)
	default:
		o := unknown("%s", describe(e))
		o.RetryAfter, o.Rest = rest, scopeOf(e)
		if e.HTTPStatusCode == http.StatusTooManyRequests && o.Rest != messages.RestOperation {
			o.RetryAfter = max(rest, limitedRest)
		}
		return o
	}
}

// limitedRest is the time for which Stripe is left alone after it met a limit of calls and did not
// say for how long: its limits are per second.
const limitedRest = time.Second

// scopeOf returns what the rest after an unanswered request is about. Stripe-Rate-Limited-Reason
// tells apart the limits (https://docs.stripe.com/rate-limits): those of the account, those of one
// endpoint, and a lock on the object.
func scopeOf(e *stripe.Error) messages.RestScope {
	reason := headerOf(e).Get("Stripe-Rate-Limited-Reason")
	switch {
	case e.HTTPStatusCode >= http.StatusInternalServerError:
		return messages.RestGateway
	case e.HTTPStatusCode != http.StatusTooManyRequests, e.Code == stripe.ErrorCodeLockTimeout, reason == "resource-specific":
		return messages.RestOperation
	case reason == "global-rate", reason == "global-concurrency":
		return messages.RestCredentials
	default:
		return messages.RestGateway
	}
}

// moved reports whether a PaymentIntent that came with an error shows the authorization that it
// was to make: the error is then not the last word.
func (r *request) moved(pi *stripe.PaymentIntent) bool {
	if pi == nil || r.op.Kind != messages.OperationAuthorize && r.op.Kind != messages.OperationConfirm {
		return false
	}
	switch pi.Status {
	case stripe.PaymentIntentStatusSucceeded, stripe.PaymentIntentStatusRequiresCapture, stripe.PaymentIntentStatusProcessing:
		return true
	default:
		return false
	}
}

// refused reports whether a status says that a request was understood and not done.
func refused(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusPaymentRequired || status == http.StatusNotFound
}

// refused returns the decline of a request that was not done. Stripe's own code is in the detail.
func (r *request) refused(e *stripe.Error) messages.Outcome {
	if e.Code == stripe.ErrorCodePaymentIntentAuthenticationFailure {
		return declinedCard(e)
	}
	o := declined(refusalCode(r.op.Kind, e), describe(e))
	if e.PaymentIntent != nil {
		o.GatewayReference = e.PaymentIntent.ID
	}
	return o
}

// codeOverRefund is the refusal of a refund that is larger than the rest.
const codeOverRefund = "amount_exceeds_captured"

// refusalCode returns the most precise refusal in Tender's vocabulary.
func refusalCode(kind messages.OperationKind, e *stripe.Error) string {
	switch {
	case kind == messages.OperationAuthorize && e.Param == "payment_method":
		// The customer may name another one.
		if e.Code == stripe.ErrorCodeResourceMissing {
			return string(stripe.ErrorCodeResourceMissing)
		}
		return "payment_method_invalid"
	case kind == messages.OperationAuthorize:
		return "invalid_request"
	case missing(e):
		return "authorization_not_found"
	case kind == messages.OperationCapture:
		switch e.Code {
		case stripe.ErrorCodeChargeExpiredForCapture, stripe.ErrorCodeCaptureChargeAuthorizationExpired:
			return "authorization_expired"
		case stripe.ErrorCodeAmountTooLarge, stripe.ErrorCodeChargeAlreadyCaptured:
			return "amount_exceeds_authorized"
		default:
			return "invalid_request"
		}
	case kind == messages.OperationRefund:
		switch {
		case e.Code == stripe.ErrorCodeChargeAlreadyRefunded, e.Code == stripe.ErrorCodeAmountTooLarge, e.Code == "" && e.Param == "amount":
			return codeOverRefund
		case e.Code == stripe.ErrorCodeChargeDisputed, e.Code == stripe.ErrorCodeChargeNotRefundable,
			e.Code == stripe.ErrorCodeBalanceInsufficient, e.Code == stripe.ErrorCodeInsufficientFunds:
			return "refund_failed"
		default:
			return "invalid_request"
		}
	default:
		return "invalid_request"
	}
}

// refusedByState judges an error. For one about the PaymentIntent's state, byState judges the
// state.
func (r *request) refusedByState(ctx context.Context, err error, byState func(*stripe.PaymentIntent) messages.Outcome) messages.Outcome {
	o := r.judge(err)
	var e *stripe.Error
	if o.Kind != messages.OutcomeDeclined || !errors.As(err, &e) {
		return o
	}
	if e.Code != stripe.ErrorCodePaymentIntentUnexpectedState && e.Code != stripe.ErrorCodeChargeAlreadyCaptured {
		return o
	}
	pi := e.PaymentIntent
	if pi == nil || len(pi.Metadata) == 0 {
		if pi, err = r.intent(ctx, r.op.GatewayReference); err != nil {
			return unknown("%s; and could not read the state: %s", o.Detail, r.judge(err).Detail)
		}
	}
	if other, strange := r.foreign(pi); strange {
		return other
	}
	return byState(pi)
}

// notAsked returns the outcome of a call that only looked something up, without success: it has
// moved nothing and will not.
func (r *request) notAsked(step string, err error) messages.Outcome {
	o := r.judge(err)
	return messages.Outcome{
		Kind: messages.OutcomeNotSent, Detail: fmt.Sprintf("could not %s: %s", step, o.Detail),
		RetryAfter: o.RetryAfter, Rest: o.Rest,
	}
}

// missing reports whether Stripe says that there is no such PaymentIntent.
func missing(err error) bool {
	var e *stripe.Error
	return errors.As(err, &e) && e.Code == stripe.ErrorCodeResourceMissing &&
		(e.Param == "" || e.Param == "intent" || e.Param == "payment_intent")
}

// describe renders Stripe's answer for a person.
func describe(e *stripe.Error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Stripe answered %d %s", e.HTTPStatusCode, e.Type)
	for _, word := range []string{string(e.Code), string(e.DeclineCode), e.Param, e.RequestID} {
		if word != "" {
			b.WriteString(" " + word)
		}
	}
	for _, name := range []string{"Stripe-Should-Retry", "Stripe-Rate-Limited-Reason"} {
		if value := headerOf(e).Get(name); value != "" {
			fmt.Fprintf(&b, " %s:%s", name, value)
		}
	}
	if e.Msg != "" {
		b.WriteString(": " + e.Msg)
	}
	return b.String()
}

func headerOf(e *stripe.Error) http.Header {
	if e.LastResponse == nil {
		return nil
	}
	return e.LastResponse.Header
}
