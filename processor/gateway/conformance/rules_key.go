package conformance

import (
	"context"
	"sync"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// atOnce is the number of requests that concurrent rules make at the same time, rounds that of
// repetitions.
const (
	atOnce = 8
	rounds = 3
)

func chargeSucceeds(ctx context.Context, t *trial) {
	t.succeed(ctx, t.payment().Charge(t.options.Cards.Approved, 1999))
	t.succeed(ctx, t.payment().Authorize(t.options.Cards.Approved, 1999))
}

func amountsTold(ctx context.Context, t *trial) {
	p := t.payment()
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	p.Reference = t.amountTold(ctx, authorize)
	t.amountTold(ctx, p.Capture(600))
	t.amountTold(ctx, p.Refund(200))
	t.amountTold(ctx, t.payment().Charge(t.options.Cards.Approved, 1000))
	if t.options.Cards.Challenged == "" {
		return
	}
	q := t.payment()
	q.Reference = t.do(ctx, q.Authorize(t.options.Cards.Challenged, 1000)).GatewayReference
	t.amountTold(ctx, q.Confirm(1000))
}

// amountTold wants the success of an operation, and a lookup of it, to say how much was moved. It
// returns the reference.
func (t *trial) amountTold(ctx context.Context, op messages.Operation) string {
	o := t.do(ctx, op)
	for _, told := range []messages.Outcome{o, t.lookup(ctx, op)} {
		if !t.over(ctx) && told.Kind == messages.OutcomeSucceeded && told.AmountMinor != op.AmountMinor {
			t.breached("%s: the success says that %d was moved", asked(op), told.AmountMinor)
		}
	}
	return o.GatewayReference
}

func replaySameAnswer(ctx context.Context, t *trial) {
	p := t.payment()
	op := p.Authorize(t.options.Cards.Approved, 1000)
	first := t.succeed(ctx, op)
	t.same(op, "a replay", first, t.do(ctx, again(op)))
	p.Reference = first.GatewayReference
	capture := p.Capture(1000)
	first = t.succeed(ctx, capture)
	t.same(capture, "a replay", first, t.do(ctx, again(capture)))
	refund := p.Refund(600)
	first = t.refund(ctx, refund)
	t.same(refund, "a replay", first, t.do(ctx, again(refund)))
	t.decline(ctx, p.Refund(401)) // The replays gave nothing back.
}

// again is the same operation as a later attempt asks for it, perhaps under a new name of the
// gateway.
func again(op messages.Operation) messages.Operation {
	op.Attempt++
	op.Gateway = "renamed"
	return op
}

// oneEffect makes one operation several times at the same time, and wants one answer.
func (t *trial) oneEffect(ctx context.Context, op messages.Operation) messages.Outcome {
	var all sync.WaitGroup
	answers := make([]messages.Outcome, atOnce)
	for i := range answers {
		all.Go(func() { answers[i] = t.settled(ctx, op) })
	}
	all.Wait()
	for _, o := range answers {
		t.want(op, o, messages.OutcomeSucceeded, messages.OutcomePending)
		t.same(op, "a request at the same time", answers[0], o)
	}
	return answers[0]
}

func raceAuthorize(ctx context.Context, t *trial) {
	for range rounds {
		p := t.payment()
		p.Reference = t.oneEffect(ctx, p.Charge(t.options.Cards.Approved, 2000)).GatewayReference
		t.refund(ctx, p.Refund(2000))
		t.decline(ctx, p.Refund(1))
	}
}

func raceConfirm(ctx context.Context, t *trial) {
	for range rounds {
		p := t.payment()
		op := p.Authorize(t.options.Cards.Challenged, 2000)
		o := t.do(ctx, op)
		t.want(op, o, messages.OutcomeRequiresAction)
		p.Reference = o.GatewayReference
		t.oneEffect(ctx, p.Confirm(2000))
		t.succeed(ctx, p.Capture(2000))
		t.decline(ctx, p.Capture(1))
	}
}

func raceCapture(ctx context.Context, t *trial) {
	for range rounds {
		p := t.authorized(ctx, 2000)
		t.oneEffect(ctx, p.Capture(800))
		t.decline(ctx, p.Capture(1201))
		t.succeed(ctx, p.Capture(1200))
	}
}

func raceVoid(ctx context.Context, t *trial) {
	for range rounds {
		p := t.authorized(ctx, 2000)
		t.succeed(ctx, p.Capture(900))
		t.oneEffect(ctx, p.Void())
		t.decline(ctx, p.Capture(1))
		t.decline(ctx, p.Refund(901))
	}
}

func raceRefund(ctx context.Context, t *trial) {
	for range rounds {
		p := t.charged(ctx, 2000)
		t.oneEffect(ctx, p.Refund(700))
		t.decline(ctx, p.Refund(1301))
		t.refund(ctx, p.Refund(1300))
	}
}

// change is one parameter of an operation with another value.
type change struct {
	name  string
	other func(*messages.Operation)
}

// changes returns every parameter that an operation of the kind has, each with another value. The
// operation id and the tenant are the key itself.
func (t *trial) changes(kind messages.OperationKind) []change {
	all := []change{
		{"another amount", func(op *messages.Operation) { op.AmountMinor += 100 }},
		{"another currency", func(op *messages.Operation) { op.Currency = t.options.OtherCurrency }},
		{"another payment", func(op *messages.Operation) { op.PaymentID = NewPayment().ID() }},
		{"another merchant reference", func(op *messages.Operation) { op.MerchantReference = "order-43" }},
		{"another customer", func(op *messages.Operation) { op.CustomerID = "customer-43" }},
	}
	if kind == messages.OperationAuthorize {
		return append(all,
			change{"another payment method", func(op *messages.Operation) { op.PaymentMethod += "_other" }},
			change{"a capture", func(op *messages.Operation) { op.Capture = !op.Capture }})
	}
	all = append(all, change{"another reference", func(op *messages.Operation) { op.GatewayReference += "_other" }})
	switch kind {
	case messages.OperationCapture:
		all = append(all,
			change{"the final mark", func(op *messages.Operation) { op.Final = !op.Final }},
			change{"the kind refund", func(op *messages.Operation) { op.Kind = messages.OperationRefund }})
	case messages.OperationRefund:
		all = append(all,
			change{"another reason", func(op *messages.Operation) { op.Reason = messages.RefundDuplicate }},
			change{"the kind capture", func(op *messages.Operation) { op.Kind = messages.OperationCapture }})
	case messages.OperationConfirm:
		all = append(all, change{"a capture", func(op *messages.Operation) { op.Capture = !op.Capture }})
	default:
	}
	return all
}

func keyReuseRefused(ctx context.Context, t *trial) {
	p := t.payment()
	op := p.Authorize(t.options.Cards.Approved, 1000)
	first := t.succeed(ctx, op)
	t.onlyAsItWas(ctx, op, first)
	p.Reference = first.GatewayReference
	capture := p.Capture(600)
	t.onlyAsItWas(ctx, capture, t.succeed(ctx, capture))
	refund := p.Refund(200)
	t.onlyAsItWas(ctx, refund, t.refund(ctx, refund))
	t.decline(ctx, p.Capture(401))
	t.decline(ctx, p.Refund(401))
	void := p.Void()
	t.onlyAsItWas(ctx, void, t.succeed(ctx, void))
	if t.options.Cards.Challenged == "" {
		return
	}
	q := t.payment()
	q.Reference = t.do(ctx, q.Authorize(t.options.Cards.Challenged, 1000)).GatewayReference
	confirm := q.Confirm(1000)
	t.onlyAsItWas(ctx, confirm, t.succeed(ctx, confirm))
}

// onlyAsItWas wants a key that was used to be refused with every other value of a parameter.
func (t *trial) onlyAsItWas(ctx context.Context, op messages.Operation, first messages.Outcome) {
	for _, c := range t.changes(op.Kind) {
		other := op
		c.other(&other)
		t.note("the same key with %s", c.name)
		if o := t.call(ctx, other, t.target.Gateway.Do); !t.over(ctx) && o.Kind != messages.OutcomeUnknown {
			t.breached("%s: the same key with %s is answered: %s", asked(op), c.name, told(o))
		}
		if t.target.http != nil {
			t.refused(ctx, other, protocol.CodeIdempotencyConflict)
		}
	}
	t.same(op, "a replay afterwards", first, t.do(ctx, op))
	t.same(op, "a lookup afterwards", first, t.lookup(ctx, op))
}

func tenantsApart(ctx context.Context, t *trial) {
	p := t.payment()
	ours := p.Authorize(t.options.Cards.Approved, 1000)
	theirs := ours
	theirs.Tenant = t.options.OtherTenant
	p.Reference = t.succeed(ctx, ours).GatewayReference
	t.note("the same operation id of the tenant %s", theirs.Tenant)
	t.want(theirs, t.lookup(ctx, theirs), messages.OutcomeNotFound)
	foreign := p.Capture(1000)
	foreign.Tenant = theirs.Tenant
	t.note("our authorization for the tenant %s", foreign.Tenant)
	t.decline(ctx, foreign)
	q := *p
	q.Tenant = theirs.Tenant
	q.Reference = t.succeed(ctx, theirs).GatewayReference
	// Both hold their own money.
	t.succeed(ctx, p.Capture(1000))
	t.succeed(ctx, q.Capture(1000))
}

func lookupByKey(ctx context.Context, t *trial) {
	p := t.payment()
	told := func(op messages.Operation, first messages.Outcome) messages.Outcome {
		t.same(op, "a lookup", first, t.lookup(ctx, op))
		return first
	}
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	p.Reference = told(authorize, t.succeed(ctx, authorize)).GatewayReference
	capture := p.Capture(600)
	told(capture, t.succeed(ctx, capture))
	refused := p.Capture(401)
	told(refused, t.decline(ctx, refused))
	void := p.Void()
	told(void, t.succeed(ctx, void))
	refund := p.Refund(600)
	told(refund, t.refund(ctx, refund))
	t.same(authorize, "a lookup at the end", t.lookup(ctx, authorize), t.lookup(ctx, authorize))
}

func lookupUnknownKey(ctx context.Context, t *trial) {
	p := t.payment()
	op := p.Authorize(t.options.Cards.Approved, 1000)
	for range 2 {
		t.want(op, t.lookup(ctx, op), messages.OutcomeNotFound)
	}
	p.Reference = t.succeed(ctx, op).GatewayReference
	capture := p.Capture(1000)
	t.want(capture, t.lookup(ctx, capture), messages.OutcomeNotFound)
	t.succeed(ctx, capture)
}

func lookupInProgress(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Slow, 1000)
	done := make(chan messages.Outcome, 1)
	go func() { done <- t.do(ctx, op) }()
	known := false
	answer := t.until(ctx, "is not answered", func(ctx context.Context) (messages.Outcome, bool) {
		o := t.lookup(ctx, op)
		if known && o.Kind == messages.OutcomeNotFound {
			t.breached("%s: a lookup says not_found after an earlier one had found it", asked(op))
		}
		known = known || o.Kind != messages.OutcomeNotFound
		select {
		case o = <-done:
			return o, true
		default:
			return o, false
		}
	})
	if t.over(ctx) {
		return
	}
	t.succeeded(op, answer)
	t.same(op, "a lookup", answer, t.lookup(ctx, op))
}

func lookupAuthorization(ctx context.Context, t *trial) {
	p := t.payment()
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	p.Reference = t.succeed(ctx, authorize).GatewayReference
	if o := t.lookup(ctx, authorize); o.Kind == messages.OutcomeSucceeded && o.Authorization == nil {
		t.leaveOut("the server does not tell an authorization's sums")
		return
	}
	t.sums(ctx, authorize, messages.AuthorizationState{})
	t.succeed(ctx, p.Capture(400))
	t.sums(ctx, authorize, messages.AuthorizationState{CapturedMinor: 400})
	t.succeed(ctx, p.Void())
	t.sums(ctx, authorize, messages.AuthorizationState{CapturedMinor: 400, ReleasedMinor: 600})
}

// sums wants a lookup to tell these sums of an authorization.
func (t *trial) sums(ctx context.Context, op messages.Operation, want messages.AuthorizationState) {
	o := t.lookup(ctx, op)
	if t.over(ctx) {
		return
	}
	if o.Authorization == nil || *o.Authorization != want {
		t.breached("%s: a lookup says %+v of its authorization, want %+v", asked(op), o.Authorization, want)
	}
}

func restartRemembers(ctx context.Context, t *trial) {
	p := t.payment()
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	ops, answers := []messages.Operation{authorize}, []messages.Outcome{t.succeed(ctx, authorize)}
	p.Reference = answers[0].GatewayReference
	capture, beyond, refund := p.Capture(400), p.Capture(601), p.Refund(100)
	ops = append(ops, capture, beyond, refund)
	answers = append(answers, t.succeed(ctx, capture), t.decline(ctx, beyond), t.refund(ctx, refund))
	if t.over(ctx) {
		return
	}
	t.note("the server is restarted")
	if err := t.options.Restart(ctx); err != nil {
		t.breached("the server cannot be restarted: %v", err)
		return
	}
	t.untilFor(ctx, t.options.RestartTimeout, "is not answered by the restarted server", func(ctx context.Context) (messages.Outcome, bool) {
		o := t.call(ctx, authorize, t.target.Gateway.Lookup)
		return o, o.Kind != messages.OutcomeUnknown
	})
	for i, op := range ops {
		t.same(op, "a lookup after the restart", answers[i], t.lookup(ctx, op))
		t.same(op, "a replay after the restart", answers[i], t.do(ctx, again(op)))
	}
	t.decline(ctx, p.Refund(301))
	t.decline(ctx, p.Capture(601))
	t.succeed(ctx, p.Capture(600))
}
