package stripegw

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
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
		if id, err = r.list(ctx); err != nil {
			return messages.Outcome{}, err
		}
		if id == "" {
			return notFound("Stripe lists no PaymentIntent of this operation"), nil
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
		return r.authorizationFound(pi), nil
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

// params are those of every mutating call. Its key is the operation's tenant and id: tenants may
// share an account, and name their payments alike.
func (r *request) params() stripe.Params {
	return stripe.Params{IdempotencyKey: stripe.String(r.op.Tenant + "/" + r.op.ID)}
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
	case pi.Metadata[MetadataTenant] != "" && pi.Metadata[MetadataTenant] != r.op.Tenant:
		return unknown("Stripe answered about a payment of another tenant"), true
	case pi.Metadata[MetadataPayment] != r.op.PaymentID.String():
		return unknown("Stripe answered about payment %q", pi.Metadata[MetadataPayment]), true
	case !strings.EqualFold(string(pi.Currency), r.op.Currency):
		return unknown("Stripe answered about an amount in %q", pi.Currency), true
	default:
		return messages.Outcome{}, false
	}
}

// succeeded returns the success of moving an amount in Stripe's unit. A success without an amount
// proves nothing.
func (r *request) succeeded(reference string, amount int64) messages.Outcome {
	minor, exact := FromStripe(amount, r.op.Currency)
	if !exact || minor <= 0 {
		return unknown("Stripe answered with an amount of %d %s, which is none", amount, r.op.Currency)
	}
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: reference, AmountMinor: minor}
}

// attempt makes the operation, unless an earlier attempt has: Stripe may have forgotten the key by
// now. A confirm always looks first. An authorize is sent again under its key without a look, as
// long as Stripe cannot have forgotten it: it is the one operation that is found only among all
// others.
func (r *request) attempt(ctx context.Context) messages.Outcome {
	looks := r.op.Kind != messages.OperationConfirm && (r.op.Kind != messages.OperationAuthorize || !r.keyLives())
	if r.op.Attempt > 1 && looks {
		earlier, err := r.find(ctx)
		if err != nil {
			return r.notAsked("look up the earlier attempt", err)
		}
		if earlier.Kind != messages.OutcomeNotFound {
			earlier.Authorization = nil // It is for lookups: this is the answer to the first attempt.
			return earlier
		}
	}
	return r.do(ctx)
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
