package stripegw

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/internal/wire"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// The metadata of every PaymentIntent and refund; webhooks map back by it.
const (
	MetadataPayment   = "tender_payment_id"
	MetadataOperation = "tender_operation_id"
	MetadataTenant    = "tender_tenant"
)

// request is one operation on its way to Stripe.
type request struct {
	*Gateway
	op messages.Operation
	// number counts the payment's operations.
	number string
	// amount is the operation's in Stripe's unit; 0 for a void.
	amount int64
}

// request checks an operation as far as possible without asking Stripe.
func (g *Gateway) request(op messages.Operation) (*request, *refusal) {
	r := &request{Gateway: g, op: op}
	var mine bool
	r.number, mine = strings.CutPrefix(op.ID, op.PaymentID.String()+"-")
	if n, err := strconv.ParseUint(r.number, 10, 32); !mine || err != nil || n == 0 {
		return nil, invalid("the operation's id is not the payment's with a number")
	}
	switch op.Kind {
	case messages.OperationAuthorize:
		if op.PaymentMethod == "" {
			return nil, invalid("there is no payment method")
		}
	case messages.OperationConfirm, messages.OperationCapture, messages.OperationVoid, messages.OperationRefund:
		if op.GatewayReference == "" {
			return nil, &refusal{code: "authorization_not_found", detail: "there is no reference to an authorization"}
		}
	default:
		return nil, invalid(fmt.Sprintf("there is no operation of kind %q", op.Kind))
	}
	if op.Kind == messages.OperationVoid {
		return r, nil
	}
	var why *refusal
	r.amount, why = toStripe(op.AmountMinor, op.Currency)
	return r, why
}

// refusal is the reason for which a request is not sent.
type refusal struct{ code, detail string }

func invalid(detail string) *refusal { return &refusal{code: "invalid_request", detail: detail} }

// do makes the operation.
func (r *request) do(ctx context.Context) messages.Outcome {
	switch r.op.Kind {
	case messages.OperationAuthorize:
		return r.authorize(ctx)
	case messages.OperationConfirm:
		return r.confirm(ctx)
	case messages.OperationCapture:
		return r.capture(ctx)
	case messages.OperationVoid:
		return r.void(ctx)
	case messages.OperationRefund:
		return r.refund(ctx)
	default:
		panic(fmt.Sprintf("stripegw: operation of kind %q passed the check", r.op.Kind))
	}
}

// find asks for the outcome of the operation. An error says that the question brought no answer.
func (r *request) find(ctx context.Context) (messages.Outcome, error) {
	if r.op.Kind == messages.OperationRefund {
		return r.findRefund(ctx)
	}
	id := r.op.GatewayReference
	if r.op.Kind == messages.OperationAuthorize {
		var err error
		if id, err = r.search(ctx); err != nil {
			return messages.Outcome{}, err
		}
		if id == "" {
			return notFound("Stripe's search finds no PaymentIntent of this operation"), nil
		}
	}
	pi, err := r.intent(ctx, id)
	if missing(err) {
		return notFound("there is no such PaymentIntent"), nil
	}
	if err != nil {
		return messages.Outcome{}, err
	}
	if o, strange := r.foreign(pi); strange {
		return o, nil
	}
	switch r.op.Kind {
	case messages.OperationAuthorize:
		return r.authorization(pi), nil
	case messages.OperationConfirm:
		return r.foundConfirm(pi), nil
	case messages.OperationCapture:
		return r.foundCapture(pi), nil
	case messages.OperationVoid:
		return r.foundVoid(pi), nil
	default:
		panic(fmt.Sprintf("stripegw: operation of kind %q passed the check", r.op.Kind))
	}
}

// params are those of every mutating call: the operation's id is its key.
func (r *request) params() stripe.Params {
	return stripe.Params{IdempotencyKey: stripe.String(r.op.ID)}
}

// metadata must not hold values that change between attempts: Stripe refuses a key with other
// parameters.
func (r *request) metadata() map[string]string {
	return map[string]string{
		MetadataPayment: r.op.PaymentID.String(), MetadataOperation: r.op.ID, MetadataTenant: r.op.Tenant,
	}
}

// intent reads a PaymentIntent with its charge.
func (r *request) intent(ctx context.Context, id string) (*stripe.PaymentIntent, error) {
	pi, err := r.client.V1PaymentIntents.Retrieve(ctx, id, &stripe.PaymentIntentRetrieveParams{Expand: latestCharge()})
	if err != nil {
		return nil, fmt.Errorf("read PaymentIntent: %w", err)
	}
	return pi, nil
}

func latestCharge() []*string { return []*string{stripe.String("latest_charge")} }

// foreign reports whether a PaymentIntent is not the one that the operation is about, and returns
// the outcome for that case. An answer about something else is no answer.
func (r *request) foreign(pi *stripe.PaymentIntent) (messages.Outcome, bool) {
	switch {
	case pi.ID == "":
		return unknown("Stripe answered with a PaymentIntent without an id"), true
	case r.op.Kind == messages.OperationAuthorize && pi.Metadata[MetadataOperation] != r.op.ID:
		return unknown("Stripe answered about operation %q", pi.Metadata[MetadataOperation]), true
	case r.op.Kind != messages.OperationAuthorize && pi.ID != r.op.GatewayReference:
		return unknown("Stripe answered about PaymentIntent %q", pi.ID), true
	case pi.Metadata[MetadataPayment] != r.op.PaymentID.String():
		return unknown("Stripe answered about payment %q", pi.Metadata[MetadataPayment]), true
	case !strings.EqualFold(string(pi.Currency), r.op.Currency):
		return unknown("Stripe answered about an amount in %q", pi.Currency), true
	default:
		return messages.Outcome{}, false
	}
}

// succeeded returns the success of moving an amount in Stripe's unit; 0 if it is not known.
func (r *request) succeeded(reference string, amount int64) messages.Outcome {
	minor, exact := FromStripe(amount, r.op.Currency)
	if !exact {
		return unknown("Stripe answered with an amount of %d %s, which is none", amount, r.op.Currency)
	}
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: reference, AmountMinor: minor}
}

// attempt makes the operation, unless an earlier attempt has: Stripe may have forgotten the key by
// now. A confirm always looks first.
func (r *request) attempt(ctx context.Context) messages.Outcome {
	if r.op.Attempt > 1 && r.op.Kind != messages.OperationConfirm {
		earlier, err := r.find(ctx)
		if err != nil {
			return r.notAsked("look up the earlier attempt", err)
		}
		if earlier.Kind != messages.OutcomeNotFound {
			return earlier
		}
	}
	return r.do(ctx)
}

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
		o.RetryAfter = odd.retryAfter
		return o
	case errors.Is(err, errTwice):
		return unknown("%v", errTwice)
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
			Kind: messages.OutcomeNotSent, Detail: "Stripe turned the API key away", RetryAfter: max(rest, credentialsRest),
		}
	case r.moved(e.PaymentIntent):
		return unknown("%s, although the PaymentIntent is %s", describe(e), e.PaymentIntent.Status)
	case e.HTTPStatusCode == http.StatusPaymentRequired && e.Type == stripe.ErrorTypeCard:
		return declinedCard(e)
	case e.Type == stripe.ErrorTypeInvalidRequest && refused(e.HTTPStatusCode):
		return r.refused(e)
	default:
		o := unknown("%s", describe(e))
		o.RetryAfter = rest
		return o
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
		Kind: messages.OutcomeNotSent, Detail: fmt.Sprintf("could not %s: %s", step, o.Detail), RetryAfter: o.RetryAfter,
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

// secrets are the forms of Stripe's keys, and of the secrets by which a browser acts on a
// PaymentIntent.
var secrets = regexp.MustCompile(`\b(sk|rk|pk|whsec|ek)_[A-Za-z0-9_*]+|_secret_[A-Za-z0-9]+`)

// clean makes the words of an outcome fit to be kept.
func (r *request) clean(o messages.Outcome) messages.Outcome {
	o.Detail = strings.ReplaceAll(o.Detail, r.config.APIKey, "(key)")
	o.Detail = protocol.Shown(secrets.ReplaceAllString(o.Detail, "(secret)"))
	return o
}

func unknown(format string, args ...any) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: fmt.Sprintf(format, args...)}
}

func notFound(detail string) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeNotFound, Detail: detail}
}
