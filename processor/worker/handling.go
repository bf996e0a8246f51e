package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
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
	// again is whether it was delivered before.
	again bool
	pulse pulse
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
	return dispositionOf(h.process(ctx, cmd))
}

// process is the way of one command: decide, ask the gateway, decide on its answer, until nothing
// is left to ask. Every decision is committed before the next step.
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

// errTooEarly means that a notification is about an event that has not happened here yet.
var errTooEarly = errors.New("a notification came too early")

// begin decides a command on the payment as it stands and commits the decision together with the
// claim of its idempotency key.
func (h *handling) begin(ctx context.Context, cmd messages.Command) (payment.Decision, error) {
	presumed := h.presumes(cmd)
	for {
		loaded, err := h.known(ctx, cmd, presumed)
		if err != nil {
			return payment.Decision{}, err
		}
		d, claim := h.meaning(loaded, cmd)
		if d.TooEarly() {
			if h.patient(ctx) {
				continue
			}
			if cmd.Name() == messages.CommandNotify {
				// A notification cannot be refused: it is kept until its time comes, or a person
				// looks.
				return payment.Decision{}, fmt.Errorf("%w: %s", errTooEarly, d.Refusal.Message)
			}
		}
		err = h.commit(ctx, loaded.Payment, d, claim)
		if !h.reloads(ctx, err) {
			return d, err
		}
		if presumed && overtaken(err) {
			h.doubts.Store(doubtsAfterError)
		}
		presumed = false
	}
}

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

// known returns the state that a command is decided on.
func (h *handling) known(ctx context.Context, cmd messages.Command, presumed bool) (store.Loaded, error) {
	if presumed {
		return store.Loaded{Payment: &payment.Payment{}}, nil
	}
	return h.load(ctx, cmd)
}

// record decides on the payment as this worker left it, or as another did meanwhile, and commits.
func (h *handling) record(
	ctx context.Context, cmd messages.Command, p *payment.Payment, decide func(*payment.Payment) payment.Decision,
) (payment.Decision, error) {
	for {
		d := decide(p)
		err := h.commit(ctx, p, d, nil)
		if !h.reloads(ctx, err) {
			return d, err
		}
		loaded, err := h.load(ctx, cmd)
		if err != nil {
			return payment.Decision{}, err
		}
		p = loaded.Payment
	}
}

// meaning decides what a command means in view of its idempotency key: a new question, one answered
// before whose answer may have been cut short, or another question under a key that is taken.
func (h *handling) meaning(loaded store.Loaded, cmd messages.Command) (payment.Decision, *store.Claim) {
	p, env := loaded.Payment, h.env(cmd, loaded.Payment)
	known := loaded.Claim
	switch {
	case cmd.IdempotencyKey == "":
		return payment.Decide(p, cmd, env), nil
	case known == nil:
		d := payment.Decide(p, cmd, env)
		return d, claimFor(cmd, d)
	case cmd.Name() == messages.CommandNotify:
		// A gateway may word what it repeats differently; its event's id says that it is the same.
		return payment.Decision{Payment: p}, nil
	case known.PaymentID == cmd.PaymentID && known.PayloadHash == cmd.PayloadHash:
		return payment.Continue(p, cmd, known.OperationID, env), nil
	case loaded.Conflict != nil:
		return payment.Decision{Payment: p}, nil
	default:
		d := payment.Reject(p, cmd, rejectionFor(cmd, known), env)
		claim := claimFor(cmd, d)
		claim.ConflictHash = store.ConflictHash(cmd.PayloadHash, cmd.PaymentID)
		return d, claim
	}
}

// rejectionFor explains a key that was used before for something else. A create that differs in
// nothing but its payment id is the same create again: the first payment stands, and is named.
func rejectionFor(cmd messages.Command, known *store.RecordedClaim) messages.CommandRejected {
	if cmd.Name() == messages.CommandCreate && known.PayloadHash == cmd.PayloadHash {
		return messages.CommandRejected{
			Code: messages.RejectAlreadyProcessed, OriginalPaymentID: known.PaymentID,
			Message: "this create was processed before, as payment " + known.PaymentID.String(),
		}
	}
	return messages.CommandRejected{
		Code: messages.RejectIdempotencyConflict, OriginalPaymentID: known.PaymentID,
		Message: "the idempotency key was used before for a different " + string(cmd.Name()),
	}
}

func claimFor(cmd messages.Command, d payment.Decision) *store.Claim {
	return &store.Claim{
		Tenant: cmd.Tenant, Command: cmd.Name(), Key: cmd.IdempotencyKey, PayloadHash: cmd.PayloadHash,
		OperationID: d.OperationID(), Rejected: d.Refusal != nil,
	}
}

// load reads the payment and the claim of the command's key. It waits while PostgreSQL is away.
func (h *handling) load(ctx context.Context, cmd messages.Command) (store.Loaded, error) {
	key := store.Key{PaymentID: cmd.PaymentID, Tenant: cmd.Tenant, Command: cmd.Name(), IdempotencyKey: cmd.IdempotencyKey}
	if key.IdempotencyKey != "" {
		key.ConflictHash = store.ConflictHash(cmd.PayloadHash, cmd.PaymentID)
	}
	for {
		loaded, err := h.store.Load(ctx, key)
		switch {
		case err == nil:
			h.progress()
			return loaded, nil
		case !h.outlasts(ctx, err):
			return store.Loaded{}, err // names the payment
		}
	}
}

// commit writes a decision. A decision without events writes nothing.
func (h *handling) commit(ctx context.Context, before *payment.Payment, d payment.Decision, claim *store.Claim) error {
	if len(d.Events) == 0 {
		return nil
	}
	err := h.store.Commit(ctx, store.Change{
		Payment: d.Payment, ExpectedVersion: before.Version, Events: d.Events, Claim: claim,
		PreviousDueAt: before.DueAt(before.UpdatedAt), PreviousHash: before.LastHash,
	})
	if err != nil {
		return err // names the payment and the version
	}
	h.progress()
	return nil
}

// overtaken reports whether a change was not written because another one came first.
func overtaken(err error) bool {
	return errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrClaimTaken)
}

// reloads reports whether a commit that came back with err is to be decided anew on a fresh state:
// another worker was faster, or it is unknown whether it was written.
func (h *handling) reloads(ctx context.Context, err error) bool {
	switch {
	case err == nil:
		return false
	case overtaken(err):
		return ctx.Err() == nil
	default:
		return h.outlasts(ctx, err)
	}
}

// outlasts waits a moment if PostgreSQL is away, and reports whether it may be back. The command
// stays in hand meanwhile: an outage costs no deliveries, and the slots it fills keep new commands
// from being fetched.
func (h *handling) outlasts(ctx context.Context, err error) bool {
	if !store.Retryable(err) || ctx.Err() != nil {
		return false
	}
	h.progress()
	h.log.Debug("waiting for PostgreSQL", zap.Error(err))
	return retry.Sleep(ctx, outagePause)
}

const (
	outagePause  = 250 * time.Millisecond
	patiencePace = 20 * time.Millisecond
)

// patient waits a moment if the command came too early, and reports whether to look again.
func (h *handling) patient(ctx context.Context) bool {
	waited := h.now().Sub(h.began)
	if waited >= h.cfg.Patience {
		return false
	}
	// Look again soon at first, then more and more rarely.
	return retry.Sleep(ctx, min(max(patiencePace, waited/4), h.cfg.Patience-waited))
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

// env returns everything that a decision depends on besides the payment and the command.
func (h *handling) env(cmd messages.Command, p *payment.Payment) payment.Env {
	return payment.Env{Now: h.now(), Policy: h.cfg.Policy, Route: func() payment.Route { return h.router.Route(factsOf(cmd, p)) }}
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
