package worker

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/delivery"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/routing"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// handling is one delivery on its way through the worker.
type handling struct {
	*Worker
	msg jetstream.Msg
	// began is when the delivery arrived.
	began time.Time
	// again is whether it was delivered before; then redelivery names it.
	again      bool
	redelivery store.Redelivery
	pulse      pulse
}

// handle takes one delivery from its arrival to its settlement, in its own goroutine. ctx ends when
// the worker is cut short.
func (w *Worker) handle(ctx context.Context, msg jetstream.Msg) {
	defer w.busy.Done()
	defer w.release(1)
	h := &handling{Worker: w, msg: msg, began: w.now()}
	h.pulse.start(w.cfg.AckWait/3, h.beat)
	defer h.pulse.stop()
	// A panic while settling leaves the delivery unsettled, to be delivered again.
	defer h.recovered()
	h.progress()
	h.settle(ctx, h.answer(ctx))
}

// answer brings a command to its outcome and returns the end of its delivery. A panic costs this
// one delivery.
func (h *handling) answer(ctx context.Context) (d disposition) {
	defer func() {
		if value := recover(); value != nil {
			h.logPanic(value)
			d = handBack(errPanic)
		}
	}()
	meta, err := h.msg.Metadata()
	if err != nil {
		return handBack(err)
	}
	h.again = meta.NumDelivered > 1
	if h.again {
		exhausted, err := h.beginAgain(ctx, meta)
		switch {
		case err != nil:
			return handBack(err)
		case exhausted:
			return giveUp(deadletter.ReasonDeliveriesExhausted, "begun too often without an outcome")
		}
	}
	cmd, err := messages.DecodeCommand(h.msg.Subject(), h.msg.Headers(), h.msg.Data())
	var refused *messages.DecodeError
	switch {
	case errors.As(err, &refused):
		return giveUp(string(refused.Code), refused.Error())
	case err != nil:
		return handBack(err)
	}
	return dispositionOf(h.process(ctx, cmd))
}

// beginAgain counts a delivery that is not the first, and reports whether it is one too many. Only
// deliveries that a worker began count: the server also counts those that waited in a process when
// it died.
func (h *handling) beginAgain(ctx context.Context, meta *jetstream.MsgMetadata) (exhausted bool, err error) {
	h.redelivery = store.Redelivery{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp}
	for {
		begun, err := h.store.BeginRedelivery(ctx, h.redelivery)
		if err == nil {
			return begun >= h.cfg.DeliveriesMax, nil
		}
		if !store.Retryable(err) || !retry.Sleep(ctx, clockPause) {
			return false, err
		}
		h.progress()
	}
}

// process drives the way of one command: it makes each effect that the delivery asks for and hands
// the result back, until the end.
func (h *handling) process(ctx context.Context, cmd messages.Command) error {
	m := delivery.New(&h.way, cmd, h.presumes(cmd))
	now, err := h.time(ctx)
	if err != nil {
		return err
	}
	effect := m.Start(now)
	for effect.Kind != delivery.End {
		result := h.make(ctx, effect)
		if result.err != nil && ctx.Err() != nil {
			return result.err // The worker is cut short.
		}
		if now, err = h.time(ctx); err != nil {
			return err
		}
		switch effect.Kind {
		case delivery.Load:
			effect = m.Loaded(result.loaded, result.err, now)
		case delivery.Commit:
			effect = m.Committed(result.err, now)
			if m.Overtaken {
				m.Overtaken = false
				h.doubts.Store(doubtsAfterError)
			}
		case delivery.Call:
			effect = m.Answered(result.outcome, now)
		case delivery.Wait:
			effect = m.Waited(now)
		case delivery.Reschedule:
			effect = m.Rescheduled(result.err, now)
		case delivery.End:
		}
	}
	return effect.Err
}

// result is what came of an effect.
type result struct {
	loaded  store.Loaded
	outcome messages.Outcome
	err     error
}

// make makes one effect. Every effect that came about is a sign of progress.
func (h *handling) make(ctx context.Context, effect delivery.Effect) (r result) {
	switch effect.Kind {
	case delivery.Load:
		r.loaded, r.err = h.store.Load(ctx, effect.Key)
	case delivery.Commit:
		r.err = h.store.Commit(ctx, effect.Change)
	case delivery.Call:
		asked := h.now()
		r.outcome = h.ask(ctx, effect.Call)
		r.outcome.Latency = h.now().Sub(asked)
	case delivery.Reschedule:
		p := effect.Payment
		r.err = h.store.Reschedule(ctx, p.Tenant, p.ID, p.Version, effect.Timer)
	case delivery.Wait:
		// The command stays in hand meanwhile: an outage costs no deliveries, and the slots it
		// fills keep new commands from being fetched.
		if !retry.Sleep(ctx, effect.Wait) {
			r.err = ctx.Err()
		}
	case delivery.End:
	}
	if r.err == nil || effect.Kind == delivery.Wait || store.Retryable(r.err) {
		h.progress()
	}
	return r
}

// time returns the database's time, by which money is decided on. It waits while PostgreSQL is
// away.
func (h *handling) time(ctx context.Context) (time.Time, error) {
	for {
		now, err := h.clock.Now(ctx)
		if err == nil {
			return now, nil
		}
		if !store.Retryable(err) || ctx.Err() != nil || !retry.Sleep(ctx, clockPause) {
			return time.Time{}, err
		}
		h.progress()
	}
}

// clockPause is the wait between two questions for the time while PostgreSQL is away.
const clockPause = 250 * time.Millisecond

// doubtsAfterError is the number of creates that are looked up after one for which the presumption
// was wrong: a lost claim costs a whole batch a second try.
const doubtsAfterError = 1000

// presumes reports whether to decide a command without a look into the store, as if there were
// neither its payment nor its key. That is so for nearly every create that is delivered for the
// first time. Otherwise the commit finds out, since it compares the version and claims the key, and
// the worker decides the command anew on the stored state.
func (h *handling) presumes(cmd messages.Command) bool {
	if cmd.Name() != messages.CommandCreate || h.again {
		return false
	}
	return h.doubts.Load() <= 0 || h.doubts.Add(-1) < 0
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

// factsOf returns the facts of a payment that routing rules can see, as the command changes it.
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

// progress notes that the command got somewhere.
func (h *handling) progress() { h.pulse.progressed.Store(h.now().UnixNano()) }

// beat tells JetStream that the worker is at the command, as long as there is progress. A command
// that hangs goes to another worker by redelivery: the payment's version keeps the two apart.
func (h *handling) beat() bool {
	if h.now().UnixNano()-h.pulse.progressed.Load() > int64(h.cfg.HandleTimeout) {
		h.log.Error("a command hangs; leaving it to redelivery", zap.String("subject", h.msg.Subject()))
		return false
	}
	// An error means a lost connection: then the command is delivered again, which changes nothing.
	return h.msg.InProgress() == nil
}

// pulse calls beat at an interval for as long as it says so.
type pulse struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
	// progressed is the time of the last progress, in Unix nanoseconds.
	progressed atomic.Int64
}

func (p *pulse) start(interval time.Duration, beat func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(interval, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.ended && beat() {
			p.timer.Reset(interval)
		}
	})
}

func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.timer.Stop()
}
