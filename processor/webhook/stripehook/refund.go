package stripehook

import (
	"fmt"

	"github.com/stripe/stripe-go/v85"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// codeRefundFailed is the same as in an answer.
const codeRefundFailed = "refund_failed"

// refund is what is used of a stripe.Refund.
type refund struct {
	ID            string              `json:"id"`
	Status        stripe.RefundStatus `json:"status"`
	Amount        int64               `json:"amount"`
	Currency      string              `json:"currency"`
	FailureReason string              `json:"failure_reason"`
	Metadata      map[string]string   `json:"metadata"`
}

// refund says what an event about a refund means.
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

// failedRefund ends a refund that is open, and takes one back that had succeeded. Each counts for nothing where the other does,
// whichever is handled first.
func failedRefund(o owner, n *messages.Notify, r refund) []messages.Command {
	reversal := *n
	reversal.Kind, reversal.EventID = messages.NotifyReversal, n.EventID+":reversal"
	reversal.DeclineCode, reversal.Reason = codeRefundFailed, r.FailureReason
	d := gateway.ClassifyDecline(codeRefundFailed, "", "")
	n.Outcome, n.DeclineCode, n.DeclineClass, n.Reason = messages.OutcomeDeclined, d.Code, d.Class, r.FailureReason
	return []messages.Command{o.command(n), o.command(&reversal)}
}
