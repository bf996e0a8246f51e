package conformance

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// settlePause is the time between two questions about an operation that is not settled yet.
const settlePause = 20 * time.Millisecond

// trial is one rule being checked. After a breach every later step does nothing, so that a rule
// reads as a list of expectations. It may be used concurrently.
type trial struct {
	target  *Target
	options Options

	mu     sync.Mutex
	steps  []string
	reason string
}

// payment returns a fresh payment.
func (t *trial) payment() *Payment {
	p := NewPayment()
	p.Currency, p.Tenant = t.options.Currency, t.options.Tenant
	return p
}

// breached notes a breach, if it is the first.
func (t *trial) breached(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason == "" {
		t.reason = fmt.Sprintf(format, args...)
	}
}

// over reports whether there was a breach already, or the caller has given up.
func (t *trial) over(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reason != "" || ctx.Err() != nil
}

// note keeps one exchange, up to the breach.
func (t *trial) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason != "" {
		return
	}
	t.steps = append(t.steps, fmt.Sprintf(format, args...))
}

// do makes one call.
func (t *trial) do(ctx context.Context, op messages.Operation) messages.Outcome {
	if t.over(ctx) {
		return messages.Outcome{}
	}
	o := t.call(ctx, op, t.target.Gateway.Do)
	t.note("%s: %s", asked(op), told(o))
	return o
}

func (t *trial) lookup(ctx context.Context, op messages.Operation) messages.Outcome {
	if t.over(ctx) {
		return messages.Outcome{}
	}
	o := t.call(ctx, op, t.target.Gateway.Lookup)
	t.note("look up %s: %s", op.ID, told(o))
	return o
}

// call bounds a call. A gateway that is tested in process may panic; that is its breach, and not
// the end of the run.
func (t *trial) call(
	ctx context.Context, op messages.Operation, ask func(context.Context, messages.Operation) messages.Outcome,
) (o messages.Outcome) {
	ctx, cancel := context.WithTimeout(ctx, t.options.CallTimeout)
	defer cancel()
	defer func() {
		if value := recover(); value != nil {
			t.note("%s", debug.Stack())
			t.breached("%s: the gateway panicked: %v", asked(op), value)
		}
	}()
	return ask(ctx, op)
}

// settled asks under the same key until there is an answer, as Tender does when two workers are at
// the same operation.
func (t *trial) settled(ctx context.Context, op messages.Operation) messages.Outcome {
	return t.until(ctx, "is not settled", func(ctx context.Context) (messages.Outcome, bool) {
		o := t.do(ctx, op)
		return o, o.Kind != messages.OutcomeUnknown
	})
}

// until repeats a call for as long as one call may take.
func (t *trial) until(ctx context.Context, what string, call func(context.Context) (messages.Outcome, bool)) messages.Outcome {
	limit := time.NewTimer(t.options.CallTimeout)
	defer limit.Stop()
	again := time.NewTicker(settlePause)
	defer again.Stop()
	for {
		o, done := call(ctx)
		if done || t.over(ctx) {
			return o
		}
		select {
		case <-again.C:
		case <-limit.C:
			t.breached("the operation %s after %s: %s", what, t.options.CallTimeout, told(o))
			return o
		case <-ctx.Done():
			return o
		}
	}
}

// want notes a breach unless the outcome is of one of the kinds.
func (t *trial) want(op messages.Operation, o messages.Outcome, kinds ...messages.OutcomeKind) {
	for _, kind := range kinds {
		if o.Kind == kind {
			return
		}
	}
	t.breached("%s: want %s, got %s", asked(op), oneOf(kinds), told(o))
}

// succeed makes an operation that has to succeed, with the amount that was asked for if it says
// one.
func (t *trial) succeed(ctx context.Context, op messages.Operation) messages.Outcome {
	o := t.do(ctx, op)
	t.succeeded(op, o)
	return o
}

func (t *trial) succeeded(op messages.Operation, o messages.Outcome) {
	t.want(op, o, messages.OutcomeSucceeded)
	if o.AmountMinor != 0 && op.AmountMinor != 0 && o.AmountMinor != op.AmountMinor {
		t.breached("%s: it says it moved %d", asked(op), o.AmountMinor)
	}
	if op.Kind == messages.OperationAuthorize && o.GatewayReference == "" {
		t.breached("%s: succeeded without a reference", asked(op))
	}
}

// refund makes a refund that has to be accepted: it may take its time.
func (t *trial) refund(ctx context.Context, op messages.Operation) messages.Outcome {
	o := t.do(ctx, op)
	t.want(op, o, messages.OutcomeSucceeded, messages.OutcomePending)
	return o
}

// decline makes an operation that has to be declined, with a code.
func (t *trial) decline(ctx context.Context, op messages.Operation) messages.Outcome {
	o := t.do(ctx, op)
	t.declined(op, o)
	return o
}

func (t *trial) declined(op messages.Operation, o messages.Outcome) {
	t.want(op, o, messages.OutcomeDeclined)
	if o.Decline == nil || o.Decline.Code == "" {
		t.breached("%s: declined without a code", asked(op))
	}
}

// authorized returns a payment with that much set aside.
func (t *trial) authorized(ctx context.Context, amountMinor int64) *Payment {
	p := t.payment()
	p.Reference = t.succeed(ctx, p.Authorize(t.options.Cards.Approved, amountMinor)).GatewayReference
	return p
}

// charged returns a payment with that much captured.
func (t *trial) charged(ctx context.Context, amountMinor int64) *Payment {
	p := t.payment()
	p.Reference = t.succeed(ctx, p.Charge(t.options.Cards.Approved, amountMinor)).GatewayReference
	return p
}

// same notes a breach unless two answers about one operation agree. A pending operation may have
// ended in between.
func (t *trial) same(op messages.Operation, what string, first, second messages.Outcome) {
	if first.Kind == messages.OutcomePending && second.Kind != messages.OutcomePending {
		t.want(op, second, messages.OutcomeSucceeded, messages.OutcomeDeclined)
		return
	}
	if !reflect.DeepEqual(essence(first), essence(second)) {
		t.breached("%s: %s says %s, the first answer was %s", asked(op), what, told(second), told(first))
	}
}

// essence is the part of an outcome that is about the operation, without the part about the call.
func essence(o messages.Outcome) messages.Outcome {
	o.Tries, o.Detail, o.RetryAfter, o.Rest, o.Authorization = 0, "", 0, "", nil
	o.CaptureBefore = o.CaptureBefore.UTC().Round(0)
	return o
}

// asked names an operation to a person.
func asked(op messages.Operation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", op.Kind, op.ID)
	if op.Kind != messages.OperationVoid {
		fmt.Fprintf(&b, " of %d %s", op.AmountMinor, op.Currency)
	}
	if op.PaymentMethod != "" {
		fmt.Fprintf(&b, " with %s", op.PaymentMethod)
	}
	if op.GatewayReference != "" {
		fmt.Fprintf(&b, " on %s", protocol.Shown(op.GatewayReference))
	}
	if op.Final {
		b.WriteString(", final")
	}
	return b.String()
}

// told repeats an outcome to a person.
func told(o messages.Outcome) string {
	var b strings.Builder
	b.WriteString(string(o.Kind))
	if o.Kind == "" {
		b.WriteString("nothing")
	}
	if o.Decline != nil {
		fmt.Fprintf(&b, " with %s", protocol.Shown(o.Decline.Code))
	}
	if o.GatewayReference != "" {
		fmt.Fprintf(&b, " as %s", protocol.Shown(o.GatewayReference))
	}
	if o.AmountMinor != 0 {
		fmt.Fprintf(&b, " over %d", o.AmountMinor)
	}
	if !o.CaptureBefore.IsZero() {
		fmt.Fprintf(&b, ", to be captured before %s", o.CaptureBefore.UTC().Format(time.RFC3339Nano))
	}
	if o.NextAction != nil {
		fmt.Fprintf(&b, ", next %s at %s", protocol.Shown(o.NextAction.Type), protocol.Shown(o.NextAction.URL))
	}
	if o.Detail != "" {
		fmt.Fprintf(&b, " (%s)", o.Detail)
	}
	return b.String()
}

func oneOf(kinds []messages.OutcomeKind) string {
	names := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		names = append(names, string(kind))
	}
	return strings.Join(names, " or ")
}

// race makes operations at the same time and returns how many came through.
func (t *trial) race(ctx context.Context, ops ...messages.Operation) int {
	outcomes := make([]messages.Outcome, len(ops))
	var all sync.WaitGroup
	for i, op := range ops {
		all.Go(func() { outcomes[i] = t.settled(ctx, op) })
	}
	all.Wait()
	through := 0
	for i, o := range outcomes {
		t.want(ops[i], o, messages.OutcomeSucceeded, messages.OutcomePending, messages.OutcomeDeclined)
		if o.Kind != messages.OutcomeDeclined {
			through++
		}
	}
	return through
}

// abandon authorizes, gives up after a while, and finds the outcome by a lookup.
func (t *trial) abandon(ctx context.Context, paymentMethod string, patience time.Duration) {
	p := t.payment()
	op := p.Authorize(paymentMethod, 1000)
	impatient, cancel := context.WithTimeout(ctx, patience)
	left := t.call(impatient, op, t.target.Gateway.Do)
	cancel()
	t.note("%s by a client that waits for %s: %s", asked(op), patience, told(left))
	t.want(op, left, messages.OutcomeUnknown, messages.OutcomeNotSent, messages.OutcomeSucceeded)
	found := t.until(ctx, "is in progress", func(ctx context.Context) (messages.Outcome, bool) {
		o := t.lookup(ctx, op)
		return o, o.Kind != messages.OutcomeUnknown
	})
	t.want(op, found, messages.OutcomeSucceeded, messages.OutcomeNotFound)
	switch {
	case left.Kind == messages.OutcomeNotSent && found.Kind == messages.OutcomeSucceeded:
		t.breached("%s: it was said not to have been sent, and was done", asked(op))
	case left.Kind == messages.OutcomeSucceeded:
		t.same(op, "a lookup", left, found)
	}
	settled := t.settled(ctx, op)
	t.succeeded(op, settled)
	if found.Kind == messages.OutcomeSucceeded {
		t.same(op, "a replay", found, settled)
	}
	t.same(op, "a lookup at the end", settled, t.lookup(ctx, op))
	p.Reference = settled.GatewayReference
	capture := p.Capture(1000)
	t.succeeded(capture, t.settled(ctx, capture))
	more := p.Capture(1)
	t.declined(more, t.settled(ctx, more))
}
