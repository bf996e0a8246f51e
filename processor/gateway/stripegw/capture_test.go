package stripegw_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
)

// mark is the metadata of a PaymentIntent with captures: the number of the operation and Stripe's
// amount, in turn.
func mark(op messages.Operation, captures ...string) object {
	m := object{"tender_payment_id": op.PaymentID.String()}
	for i := 0; i < len(captures); i += 2 {
		m["tender_capture_"+captures[i]] = captures[i+1]
	}
	return m
}

func TestCaptureAnswers(t *testing.T) {
	t.Parallel()
	p := followUp()
	partial, final := p.Capture(400), p.CaptureFinally(400) // Numbers 2 and 3.
	for name, c := range map[string]struct {
		op      messages.Operation
		changes object
		want    string
		amount  int64
	}{
		"final":                         {final, object{"status": "succeeded", "amount_received": 400, "metadata": mark(final, "3", "400")}, "succeeded", 400},
		"less than was asked for":       {final, object{"status": "succeeded", "amount_received": 399, "metadata": mark(final, "3", "400")}, "succeeded", 399},
		"one of several":                {final, object{"status": "succeeded", "amount_received": 800, "metadata": mark(final, "2", "400", "3", "400")}, "succeeded", 400},
		"not the last":                  {partial, object{"amount_received": 400, "metadata": mark(partial, "2", "400")}, "succeeded", 400},
		"the last, but not final":       {partial, object{"status": "succeeded", "amount_received": 400, "metadata": mark(partial, "2", "400")}, "succeeded", 400},
		"final, but left open":          {final, object{"amount_received": 400, "metadata": mark(final, "3", "400")}, "unknown", 0},
		"processing":                    {final, object{"status": "processing", "metadata": mark(final, "3", "400")}, "pending", 0},
		"without its mark":              {final, object{"status": "succeeded", "amount_received": 400}, "unknown", 0},
		"canceled":                      {final, object{"status": "canceled", "metadata": mark(final, "3", "400")}, "unknown", 0},
		"another PaymentIntent":         {final, object{"id": "pi_8", "status": "succeeded", "metadata": mark(final, "3", "400")}, "unknown", 0},
		"another currency":              {final, object{"currency": "eur", "status": "succeeded", "metadata": mark(final, "3", "400")}, "unknown", 0},
		"an amount that cannot be kept": {final, object{"status": "succeeded", "amount_received": int64(1) << 62, "metadata": mark(final, "3", "400")}, "unknown", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pi := intentOf(c.op, c.changes)
			o := serve(t, respond(pi)).Do(t.Context(), c.op)
			if verdictOf(o) != c.want || o.AmountMinor != c.amount {
				t.Errorf("%s of %d (%s), want %s of %d", verdictOf(o), o.AmountMinor, o.Detail, c.want, c.amount)
			}
		})
	}
}

func TestCapturesAreFoundByTheirMarks(t *testing.T) {
	t.Parallel()
	p := followUp()
	op := p.Capture(400) // Number 2.
	for name, c := range map[string]struct {
		changes object
		want    string
	}{
		"done":                          {object{"amount_received": 400, "metadata": mark(op, "2", "400")}, "succeeded"},
		"done among others":             {object{"amount_received": 700, "metadata": mark(op, "2", "400", "3", "300")}, "succeeded"},
		"not done":                      {object{"metadata": mark(op)}, "not_found"},
		"not done, others are":          {object{"amount_received": 300, "metadata": mark(op, "3", "300")}, "not_found"},
		"marked, but nothing received":  {object{"metadata": mark(op, "2", "400")}, "unknown"},
		"marked, too little received":   {object{"amount_received": 500, "metadata": mark(op, "2", "400", "3", "300")}, "unknown"},
		"marked with no number":         {object{"amount_received": 400, "metadata": mark(op, "2", "a lot")}, "unknown"},
		"marked beyond counting":        {object{"amount_received": 400, "metadata": mark(op, "2", "9223372036854775807", "3", "9223372036854775807")}, "unknown"},
		"marked below zero":             {object{"amount_received": 400, "metadata": mark(op, "2", "400", "3", "-400")}, "unknown"},
		"processing":                    {object{"status": "processing", "metadata": mark(op, "2", "400")}, "pending"},
		"never, as all is captured":     {object{"status": "succeeded", "amount_received": 1000, "metadata": mark(op, "3", "1000")}, "declined amount_exceeds_authorized"},
		"never, as it is voided":        {object{"status": "canceled", "metadata": mark(op)}, "declined authorization_voided"},
		"never, as it has expired":      {object{"status": "canceled", "cancellation_reason": "automatic", "metadata": mark(op)}, "declined authorization_expired"},
		"of another payment altogether": {object{"metadata": object{"tender_payment_id": "other", "tender_capture_2": "400"}, "amount_received": 400}, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if o := serve(t, found(t, intentOf(op, c.changes))).Lookup(t.Context(), op); verdictOf(o) != c.want {
				t.Errorf("%s (%s), want %s", verdictOf(o), o.Detail, c.want)
			}
		})
	}
}

func TestVoids(t *testing.T) {
	t.Parallel()
	op := followUp().Void()
	for name, c := range map[string]struct {
		changes      object
		do, lookedUp string
	}{
		"canceled":                       {object{"status": "canceled", "amount_capturable": 0}, "succeeded", "succeeded"},
		"canceled by Stripe":             {object{"status": "canceled", "cancellation_reason": "automatic"}, "succeeded", "declined authorization_expired"},
		"the rest released":              {object{"status": "succeeded", "amount": 1000, "amount_received": 400, "amount_capturable": 0}, "succeeded", "succeeded"},
		"all captured":                   {object{"status": "succeeded", "amount": 1000, "amount_received": 1000, "amount_capturable": 0}, "unknown", "declined already_captured"},
		"still held":                     {object{"amount": 1000, "amount_capturable": 1000}, "unknown", "not_found"},
		"still waiting for the customer": {object{"status": "requires_action"}, "unknown", "not_found"},
		"another PaymentIntent":          {object{"id": "pi_8", "status": "canceled"}, "unknown", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pi := intentOf(op, c.changes)
			if o := serve(t, respond(pi)).Do(t.Context(), op); verdictOf(o) != c.do || o.AmountMinor != 0 {
				t.Errorf("Do is %s of %d (%s), want %s", verdictOf(o), o.AmountMinor, o.Detail, c.do)
			}
			if o := serve(t, found(t, pi)).Lookup(t.Context(), op); verdictOf(o) != c.lookedUp {
				t.Errorf("Lookup is %s (%s), want %s", verdictOf(o), o.Detail, c.lookedUp)
			}
		})
	}
}

func TestRefundStates(t *testing.T) {
	t.Parallel()
	op := followUp().Refund(400)
	for name, c := range map[string]struct {
		changes object
		want    string
	}{
		"succeeded":           {object{}, "succeeded"},
		"pending":             {object{"status": "pending", "pending_reason": "charge_pending"}, "pending"},
		"requires action":     {object{"status": "requires_action"}, "pending"},
		"failed":              {object{"status": "failed", "failure_reason": "expired_or_canceled_card"}, "declined refund_failed"},
		"canceled":            {object{"status": "canceled"}, "declined refund_failed"},
		"a state of its own":  {object{"status": "on_its_way"}, "unknown"},
		"another payment's":   {object{"payment_intent": "pi_8"}, "unknown"},
		"of nothing":          {object{"payment_intent": nil}, "unknown"},
		"in another currency": {object{"currency": "eur"}, "unknown"},
		"without an id":       {object{"id": ""}, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refund := object{
				"object": "refund", "id": "re_1", "amount": 400, "currency": "usd", "status": "succeeded", "payment_intent": "pi_9",
				"metadata": object{"tender_operation_id": op.ID},
			}
			for key, value := range c.changes {
				refund[key] = value
			}
			o := serve(t, respond(refund)).Do(t.Context(), op)
			if verdictOf(o) != c.want {
				t.Errorf("Do is %s (%s), want %s", verdictOf(o), o.Detail, c.want)
			}
			if o.Kind != messages.OutcomeUnknown && o.GatewayReference != "re_1" {
				t.Errorf("reference is %q, want the refund's", o.GatewayReference)
			}
			other := object{"object": "refund", "id": "re_0", "metadata": object{"tender_operation_id": "other"}}
			page := func(refunds ...object) object {
				return object{"object": "list", "data": refunds, "has_more": false, "url": "/v1/refunds"}
			}
			if o := serve(t, respond(page(other, refund))).Lookup(t.Context(), op); verdictOf(o) != c.want {
				t.Errorf("Lookup is %s (%s), want %s", verdictOf(o), o.Detail, c.want)
			}
			gatewaytest.Want(t, serve(t, respond(page(other))).Lookup(t.Context(), op), messages.OutcomeNotFound)
			gatewaytest.Want(t, serve(t, respond(page(refund, refund))).Lookup(t.Context(), op), messages.OutcomeUnknown)
		})
	}
}
