package worker

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/routing"
)

// handling is one delivery on its way through the worker.
type handling struct {
	*Worker
	msg jetstream.Msg
	// began is when the delivery arrived.
	began time.Time
	// again is whether it was delivered before.
	again bool
	pulse pulse
}

// handle takes one delivery from its arrival to its settlement, in its own goroutine. ctx ends when the worker is cut
// short.
func (w *Worker) handle(ctx context.Context, msg jetstream.Msg) {
	defer w.busy.Done()
	defer w.release(1)
	h := &handling{Worker: w, msg: msg, began: w.now()}
	h.pulse.start(w.cfg.AckWait/3, h.beat)
	defer h.pulse.stop()
	// A panic while settling leaves the delivery unsettled, to be delivered again.
	defer h.recovered()
	h.progress()
	h.settle(ctx, msg, h.answer(ctx))
}

// recovered ends a panic, and logs it. It is to be deferred.
func (h *handling) recovered() {
	if value := recover(); value != nil {
		h.logPanic(value)
	}
}

func (h *handling) logPanic(value any) {
	h.log.Error("a handler panicked", zap.String("subject", h.msg.Subject()),
		zap.Any("panic", value), zap.ByteString("stack", debug.Stack()))
}

// answer brings a command to its outcome and says what becomes of the delivery. A panic costs this one delivery.
func (h *handling) answer(ctx context.Context) (v verdict) {
	defer func() {
		if value := recover(); value != nil {
			h.logPanic(value)
			v = handBack(errPanic)
		}
	}()
	meta, err := h.msg.Metadata()
	if err != nil {
		return handBack(err)
	}
	if meta.NumDelivered > uint64(h.cfg.DeliveriesMax) { //nolint:gosec // a positive setting
		return giveUp(deadletter.ReasonDeliveriesExhausted, "delivered too often without an outcome")
	}
	h.again = meta.NumDelivered > 1
	cmd, err := messages.DecodeCommand(h.msg.Subject(), h.msg.Headers(), h.msg.Data())
	var refused *messages.DecodeError
	switch {
	case errors.As(err, &refused):
		return giveUp(string(refused.Code), refused.Error())
	case err != nil:
		return handBack(err)
	}
	return verdictOn(h.process(ctx, cmd))
}

// process is the way of one command: what it means, then what the gateway says, then what that means, until nothing is
// left to ask. Every decision is committed before the next step is taken.
func (h *handling) process(ctx context.Context, cmd messages.Command) error {
	d, err := h.begin(ctx, cmd)
	for err == nil && d.Call != nil {
		call := *d.Call
		asked := h.now()
		outcome := h.ask(ctx, call)
		outcome.Latency = h.now().Sub(asked)
		h.progress()
		known := d.Payment.Version
		d, err = h.record(ctx, cmd, d.Payment, func(p *payment.Payment) payment.Decision {
			settled := payment.Settle(p, cmd, call, outcome, h.env(cmd, p))
			if p.Version == known || len(settled.Events) > 0 || settled.Call != nil {
				return settled
			}
			return payment.TakeUp(p, cmd, call.Operation.ID, h.env(cmd, p))
		})
		if err == nil && cmd.Name() == messages.CommandResume {
			// More than one thing may be due.
			d, err = h.begin(ctx, cmd)
		}
	}
	return err
}

// ask makes a call to the gateway that the operation names.
func (h *handling) ask(ctx context.Context, c payment.Call) messages.Outcome {
	g, ok := h.gateways.Get(c.Operation.Gateway)
	switch {
	case !ok && c.Lookup:
		return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "no gateway " + c.Operation.Gateway + " is configured here"}
	case !ok:
		return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "no gateway " + c.Operation.Gateway + " is configured here"}
	case c.Lookup:
		return g.Lookup(ctx, c.Operation)
	default:
		return g.Do(ctx, c.Operation)
	}
}

// env is what a decision depends on besides the payment and the command.
func (h *handling) env(cmd messages.Command, p *payment.Payment) payment.Env {
	return payment.Env{Now: h.now(), Policy: h.cfg.Policy, Route: func() payment.Route { return h.router.Route(factsOf(cmd, p)) }}
}

// factsOf is what routing rules can see of a payment, as the command changes it.
func factsOf(cmd messages.Command, p *payment.Payment) routing.Facts {
	facts := routing.Facts{
		PaymentID: cmd.PaymentID, Tenant: cmd.Tenant, AmountMinor: p.AmountMinor, Currency: p.Currency,
		Country: p.Country, PaymentMethod: p.PaymentMethod, Metadata: p.Metadata,
	}
	switch c := cmd.Body.(type) {
	case *messages.Create:
		facts.AmountMinor, facts.Currency, facts.Country = c.AmountMinor, c.Currency, c.Country
		facts.PaymentMethod, facts.Metadata = c.PaymentMethod, c.Metadata
	case *messages.Confirm:
		if c.PaymentMethod != "" {
			facts.PaymentMethod = c.PaymentMethod
		}
	}
	return facts
}
