package stripehook

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

// paymentIntent holds the used fields of a stripe.PaymentIntent.
type paymentIntent struct {
	ID                 string                                 `json:"id"`
	Status             stripe.PaymentIntentStatus             `json:"status"`
	Amount             int64                                  `json:"amount"`
	AmountReceived     int64                                  `json:"amount_received"`
	Currency           string                                 `json:"currency"`
	CaptureMethod      stripe.PaymentIntentCaptureMethod      `json:"capture_method"`
	CancellationReason stripe.PaymentIntentCancellationReason `json:"cancellation_reason"`
	Metadata           map[string]string                      `json:"metadata"`
	LastPaymentError   *stripegw.DeclineFacts                 `json:"last_payment_error"`
	NextAction         *struct {
		RedirectToURL *struct {
			URL string `json:"url"`
		} `json:"redirect_to_url"`
	} `json:"next_action"`
}

// intent translates an event about a PaymentIntent, which shows it as it was when the event was
// made.
func (e event) intent() ([]messages.Command, error) {
	var pi paymentIntent
	if err := e.read(&pi); err != nil {
		return nil, err
	}
	o, ours, err := ownerOf(pi.Metadata)
	if err != nil || !ours {
		return nil, err
	}
	n := e.notify(messages.NotifyOutcome)
	n.OperationID, n.GatewayReference = o.operationID, pi.ID
	means, err := pi.describe(n, e.Type, o)
	if err != nil || !means {
		return nil, err
	}
	return []messages.Command{o.command(n)}, nil
}

// describe fills the notification in, and returns false if the event does not count.
func (pi paymentIntent) describe(n *messages.Notify, kind stripe.EventType, o owner) (bool, error) {
	switch kind {
	case stripe.EventTypePaymentIntentSucceeded, stripe.EventTypePaymentIntentAmountCapturableUpdated:
		return pi.succeeded(n, o)
	case stripe.EventTypePaymentIntentProcessing:
		n.Outcome = messages.OutcomePending
		mark, marked, err := pi.lastCapture()
		if marked {
			n.OperationID = mark.operationID(o)
		}
		return true, err
	case stripe.EventTypePaymentIntentRequiresAction:
		n.Outcome, n.NextActionType = messages.OutcomeRequiresAction, "three_d_secure"
		if pi.NextAction != nil && pi.NextAction.RedirectToURL != nil && pi.NextAction.RedirectToURL.URL != "" {
			n.NextActionType, n.NextActionURL = "redirect", pi.NextAction.RedirectToURL.URL
		}
		return true, nil
	case stripe.EventTypePaymentIntentPaymentFailed:
		if pi.LastPaymentError == nil {
			return false, errors.New("the PaymentIntent has failed and does not say why")
		}
		d := pi.LastPaymentError.Decline()
		n.Outcome, n.DeclineCode, n.DeclineClass = messages.OutcomeDeclined, d.Code, d.Class
		return true, nil
	case stripe.EventTypePaymentIntentCanceled:
		lapsed := pi.CancellationReason == stripe.PaymentIntentCancellationReasonAutomatic ||
			pi.CancellationReason == stripe.PaymentIntentCancellationReasonExpired
		d := gateway.ClassifyDecline("authorization_expired", "", "")
		n.Outcome, n.DeclineCode, n.DeclineClass = messages.OutcomeDeclined, d.Code, d.Class
		return lapsed, nil
	default:
		panic("stripehook: event " + string(kind) + " is about no PaymentIntent")
	}
}

// succeeded tells an authorization from the captures that follow it.
func (pi paymentIntent) succeeded(n *messages.Notify, o owner) (bool, error) {
	n.Outcome = messages.OutcomeSucceeded
	mark, marked, err := pi.lastCapture()
	if err != nil {
		return false, err
	}
	manual := pi.CaptureMethod == stripe.PaymentIntentCaptureMethodManual
	amount := pi.AmountReceived
	switch {
	case marked && mark.sum > pi.AmountReceived:
		return false, nil // The capture is still under way.
	case marked:
		n.OperationID, amount = mark.operationID(o), mark.amount
	case manual && pi.Status == stripe.PaymentIntentStatusRequiresCapture:
		amount = pi.Amount
	case manual || pi.Status != stripe.PaymentIntentStatusSucceeded:
		return false, nil // Captured outside of Tender, or overtaken.
	}
	n.AmountMinor, err = minor(amount, pi.Currency)
	return err == nil, err
}

// capture is the mark that package stripegw leaves on a PaymentIntent with each capture.
type capture struct {
	number, amount int64
	// sum is over all of the PaymentIntent's marks.
	sum int64
}

func (c capture) operationID(o owner) string {
	return o.paymentID.String() + "-" + strconv.FormatInt(c.number, 10)
}

// markMax is more than any amount in any unit, and little enough to add up many.
const markMax = 1e15

// lastCapture finds the mark of the latest capture: its event is this one, or came before.
func (pi paymentIntent) lastCapture() (last capture, found bool, err error) {
	for key, value := range pi.Metadata {
		digits, marked := strings.CutPrefix(key, stripegw.MetadataCapture)
		if !marked {
			continue
		}
		number, err := strconv.ParseInt(digits, 10, 32)
		amount, amountErr := strconv.ParseInt(value, 10, 64)
		if err != nil || amountErr != nil || number < 1 || amount < 1 || amount > markMax {
			return capture{}, false, fmt.Errorf("the PaymentIntent's metadata holds no capture under %s", stripegw.MetadataCapture)
		}
		last.sum += amount
		if number > last.number {
			last.number, last.amount, found = number, amount, true
		}
	}
	return last, found, nil
}

// codeRefundFailed is the same as in an answer.
const codeRefundFailed = "refund_failed"

// refund holds the used fields of a stripe.Refund.
type refund struct {
	ID            string              `json:"id"`
	Status        stripe.RefundStatus `json:"status"`
	Amount        int64               `json:"amount"`
	Currency      string              `json:"currency"`
	FailureReason string              `json:"failure_reason"`
	Metadata      map[string]string   `json:"metadata"`
}

// refund translates an event about a refund.
func (e event) refund() ([]messages.Command, error) {
	var r refund
	if err := e.read(&r); err != nil {
		return nil, err
	}
	o, ours, err := ownerOf(r.Metadata)
	if err != nil || !ours {
		return nil, err
	}
	n := e.notify(messages.NotifyOutcome)
	n.OperationID, n.GatewayReference = o.operationID, r.ID
	if n.AmountMinor, err = minor(r.Amount, r.Currency); err != nil {
		return nil, err
	}
	switch r.Status {
	case stripe.RefundStatusSucceeded:
		n.Outcome = messages.OutcomeSucceeded
	case stripe.RefundStatusPending, stripe.RefundStatusRequiresAction:
		n.Outcome, n.AmountMinor = messages.OutcomePending, 0
	case stripe.RefundStatusFailed, stripe.RefundStatusCanceled:
		return failedRefund(o, n, r), nil
	default:
		return nil, fmt.Errorf("the refund is %q", r.Status)
	}
	return []messages.Command{o.command(n)}, nil
}

// failedRefund ends a refund that is open, and takes one back that had succeeded. Each counts for
// nothing where the other does, whichever is handled first.
func failedRefund(o owner, n *messages.Notify, r refund) []messages.Command {
	reversal := *n
	reversal.Kind, reversal.EventID = messages.NotifyReversal, n.EventID+":reversal"
	reversal.DeclineCode, reversal.Reason = codeRefundFailed, r.FailureReason
	d := gateway.ClassifyDecline(codeRefundFailed, "", "")
	n.Outcome, n.DeclineCode, n.DeclineClass, n.Reason = messages.OutcomeDeclined, d.Code, d.Class, r.FailureReason
	return []messages.Command{o.command(n), o.command(&reversal)}
}

// minor converts an amount in Stripe's unit to ISO 4217 minor units.
func minor(amount int64, currency string) (int64, error) {
	converted, ok := stripegw.FromStripe(amount, strings.ToUpper(currency))
	if !ok {
		return 0, fmt.Errorf("an amount of %d %q is none", amount, currency)
	}
	return converted, nil
}
