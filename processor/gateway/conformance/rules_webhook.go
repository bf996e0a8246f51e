package conformance

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// delivered waits for deliveries that fit, and notes a breach if there are none in time.
func (t *trial) delivered(ctx context.Context, what string, fits func([]delivery) bool) {
	if t.over(ctx) {
		return
	}
	limit := time.NewTimer(t.options.WebhookTimeout)
	defer limit.Stop()
	for {
		all, changed := t.options.Webhooks.seen()
		if fits(all) {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			t.breached("%s: no such event came within %s", what, t.options.WebhookTimeout)
			return
		case <-ctx.Done():
			return
		}
	}
}

func webhookSigned(ctx context.Context, t *trial) {
	op := t.payment().Charge(t.options.Cards.Approved, 1999)
	t.succeed(ctx, op)
	t.delivered(ctx, asked(op), func(all []delivery) bool {
		for _, d := range all {
			if d.unsigned != nil {
				t.note("an event: %s", protocol.Shown(string(d.body)))
				t.breached("an event is not signed as it should be: %v", d.unsigned)
				return true
			}
		}
		for _, d := range all {
			if d.key() == protocol.KeyOf(op) {
				return true
			}
		}
		return false
	})
}

func webhookTells(ctx context.Context, t *trial) {
	p := t.payment()
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	answers := []messages.Outcome{t.succeed(ctx, authorize)}
	p.Reference = answers[0].GatewayReference
	ops := []messages.Operation{authorize, p.Capture(600), p.Refund(200), p.Void()}
	if card := t.options.Cards.Declined; card != "" {
		ops = append(ops, t.payment().Authorize(card, 1000))
	}
	for _, op := range ops[1:] {
		answers = append(answers, t.do(ctx, op))
	}
	for i, op := range ops {
		t.toldOf(ctx, op, answers[i])
	}
	if t.over(ctx) {
		return
	}
	all, _ := t.options.Webhooks.seen()
	first := make(map[string]delivery)
	for _, d := range all {
		before, known := first[d.event.ID]
		switch fault := faultIn(t.target.described.event, d.body); {
		case fault != "":
			t.note("an event: %s", protocol.Shown(string(d.body)))
			t.breached("an event is not as described: %s", fault)
		case known && !bytes.Equal(before.body, d.body):
			t.note("one event: %s", protocol.Shown(string(before.body)))
			t.note("another event: %s", protocol.Shown(string(d.body)))
			t.breached("two events have the id %q", protocol.Shown(d.event.ID))
		}
		first[d.event.ID] = d
	}
}

// toldOf waits for the event about an outcome and holds it against the answer.
func (t *trial) toldOf(ctx context.Context, op messages.Operation, o messages.Outcome) {
	kind := protocol.EventType("operation." + string(o.Kind))
	var e protocol.Event
	t.delivered(ctx, asked(op)+", "+string(kind), func(all []delivery) bool {
		for _, d := range all {
			if d.key() == protocol.KeyOf(op) && d.event.Type == kind {
				e = d.event
				return true
			}
		}
		return false
	})
	if t.over(ctx) {
		return
	}
	t.note("the event %s about %s: %s over %d as %s", protocol.Shown(e.ID), op.ID, e.Type, e.AmountMinor, protocol.Shown(e.GatewayReference))
	switch {
	case e.PaymentID != op.PaymentID:
		t.breached("%s: the event names the payment %s", asked(op), e.PaymentID)
	case o.Kind == messages.OutcomeSucceeded && op.Kind != messages.OperationVoid && e.AmountMinor != op.AmountMinor:
		t.breached("%s: the event says that %d was moved", asked(op), e.AmountMinor)
	case o.GatewayReference != e.GatewayReference:
		t.breached("%s: the event names the reference %q", asked(op), protocol.Shown(e.GatewayReference))
	case o.Decline != nil && o.Decline.Code != e.DeclineCode:
		t.breached("%s: the event declines with %q, the answer did with %q", asked(op), protocol.Shown(e.DeclineCode), o.Decline.Code)
	}
}

func webhookRepeated(ctx context.Context, t *trial) {
	op := t.payment().Charge(t.options.Cards.Approved, 1999)
	t.options.Webhooks.refuse(protocol.KeyOf(op))
	t.succeed(ctx, op)
	t.delivered(ctx, asked(op)+", again after it was answered 503", func(all []delivery) bool {
		var refused protocol.Event
		for _, d := range all {
			switch {
			case d.key() != protocol.KeyOf(op):
			case d.status == http.StatusServiceUnavailable:
				refused = d.event
			case refused.ID != "" && d.event.ID == refused.ID:
				return true
			case refused.ID != "" && d.event.Type == refused.Type:
				t.note("the event %s was answered 503", protocol.Shown(refused.ID))
				t.breached("%s: %s was told again as %s", asked(op), refused.Type, protocol.Shown(d.event.ID))
				return true
			}
		}
		return false
	})
}
