package payment

import (
	"github.com/seed-384b1f8a/tender/messages/jsonobject"
)

// AppendJSON appends the state as encoding/json would write it, which is how it is stored and read back. It is written with
// every change of every payment, so it is written by hand; a test holds it equal for every field there is.
func (p *Payment) AppendJSON(b []byte) []byte {
	w := jsonobject.New(b)
	w.String("payment_id", p.ID.String())
	w.String("tenant", p.Tenant)
	w.Int("version", p.Version)
	w.String("status", string(p.Status))
	w.Int("amount_minor", p.AmountMinor)
	w.StringOmit("currency", p.Currency)
	w.Int("exponent", int64(p.Exponent))
	w.StringOmit("capture_method", string(p.CaptureMethod))
	w.StringOmit("payment_method", p.PaymentMethod)
	w.StringOmit("customer_id", p.CustomerID)
	w.StringOmit("merchant_reference", p.MerchantReference)
	w.StringOmit("country", p.Country)
	if len(p.Metadata) > 0 {
		w.Value("metadata", p.Metadata)
	}
	w.StringOmit("correlation_id", p.CorrelationID)
	if p.Retry != nil {
		w.Value("retry", p.Retry)
	}
	w.Int("amount_authorized_minor", p.AuthorizedMinor)
	w.Int("amount_captured_minor", p.CapturedMinor)
	w.Int("amount_refunded_minor", p.RefundedMinor)
	w.Int("amount_released_minor", p.ReleasedMinor)
	w.StringOmit("gateway", p.Gateway)
	w.StringOmit("gateway_reference", p.GatewayReference)
	w.TimeOmit("capture_before", p.CaptureBefore)
	w.TimeOmit("confirm_before", p.ConfirmBefore)
	w.TimeOmit("warn_at", p.WarnAt)
	w.TimeOmit("retry_at", p.RetryAt)
	if p.NextAction != nil {
		w.Value("next_action", p.NextAction)
	}
	if p.Decline != nil {
		w.Value("decline", p.Decline)
	}
	w.StringOmit("failure_code", p.FailureCode)
	w.StringOmit("closed", string(p.Closed))
	if len(p.Operations) > 0 {
		w.Append("operations", p.appendOperations)
	}
	if len(p.Disputes) > 0 {
		w.Value("disputes", p.Disputes)
	}
	w.TimeOmit("created_at", p.CreatedAt)
	w.TimeOmit("updated_at", p.UpdatedAt)
	if !p.LastHash.IsZero() {
		w.String("last_hash", p.LastHash.String())
	}
	return w.End()
}

func (p *Payment) appendOperations(b []byte) []byte {
	b = append(b, '[')
	for i := range p.Operations {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Operations[i].appendJSON(b)
	}
	return append(b, ']')
}

func (o *Operation) appendJSON(b []byte) []byte {
	w := jsonobject.New(b)
	w.String("operation_id", o.ID)
	w.String("kind", string(o.Kind))
	w.String("status", string(o.Status))
	w.Int("amount_minor", o.AmountMinor)
	w.String("gateway", o.Gateway)
	w.StringOmit("gateway_reference", o.GatewayReference)
	w.StringOmit("payment_method", o.PaymentMethod)
	w.StringOmit("previous_operation_id", o.Previous)
	w.StringOmit("decline_code", o.DeclineCode)
	w.BoolOmit("final", o.Final)
	w.StringOmit("reason", o.Reason)
	w.StringOmit("expires", o.Expires)
	w.Int("attempt", int64(o.Attempt))
	w.IntOmit("tries", int64(o.Tries))
	w.BoolOmit("pending", o.Pending)
	w.BoolOmit("unproven", o.Unproven)
	w.BoolOmit("contradicted", o.Contradicted)
	w.IntOmit("amount_reversed_minor", o.ReversedMinor)
	w.String("caused_by", o.CausedBy)
	w.String("sent_by", o.SentBy)
	w.Time("first_sent_at", o.FirstSentAt)
	w.Time("sent_at", o.SentAt)
	w.TimeOmit("not_sent_since", o.NotSentSince)
	w.TimeOmit("unknown_since", o.UnknownSince)
	w.IntOmit("checks", int64(o.Checks))
	w.TimeOmit("next_check_at", o.NextCheckAt)
	return w.End()
}
