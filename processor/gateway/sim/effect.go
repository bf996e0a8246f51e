package sim

import (
	"cmp"
	"fmt"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// stage is the stage of an authorization.
type stage int

const (
	stageChallenged stage = iota
	stageOpen
	stageClosed // captured finally or voided
)

// authorization is money set aside on a card, and its use so far.
type authorization struct {
	reference     string
	paymentMethod string
	currency      string
	stage         stage
	voided        bool
	// asked is the amount in the request; authorized is the amount that is held, 0 while it is
	// challenged.
	asked         int64
	authorized    int64
	captured      int64
	released      int64
	refunded      int64
	refunding     int64
	captureBefore time.Time
}

// owned is the reference of an authorization and the tenant whose it is. No other tenant finds it.
type owned struct {
	tenant, reference string
}

func ownedBy(tenant, reference string) owned { return owned{tenant, reference} }

func (a *authorization) remaining() int64 { return a.authorized - a.captured - a.released }

// lapsed reports whether the time is over in which it can be captured.
func (a *authorization) lapsed(now time.Time) bool {
	return a.stage != stageChallenged && now.After(a.captureBefore)
}

// state returns the sums as a lookup tells them. An authorization that was voided or has lapsed has
// released all that was not captured, also if the customer never confirmed it.
func (a *authorization) state(now time.Time) *messages.AuthorizationState {
	state := messages.AuthorizationState{CapturedMinor: a.captured, ReleasedMinor: a.released}
	if a.voided || a.lapsed(now) {
		state.ReleasedMinor = cmp.Or(a.authorized, a.asked) - a.captured
	}
	return &state
}

// decide returns the record for an operation that was never answered. It changes nothing.
func (s *Simulator) decide(op messages.Operation) (Record, error) {
	if op.Kind == messages.OperationAuthorize {
		return s.decideAuthorize(op)
	}
	a, found := s.authorizations[ownedBy(op.Tenant, op.GatewayReference)]
	if !found {
		return declined(op, "authorization_not_found"), nil
	}
	if op.Kind != messages.OperationVoid && op.Currency != a.currency {
		return Record{}, fmt.Errorf("currency is %s, not that of the authorization, %s", op.Currency, a.currency)
	}
	switch op.Kind {
	case messages.OperationConfirm:
		return s.decideConfirm(op, a)
	case messages.OperationCapture:
		return s.decideCapture(op, a), nil
	case messages.OperationVoid:
		return s.decideVoid(op, a), nil
	case messages.OperationRefund:
		return s.decideRefund(op, a), nil
	default:
		panic(fmt.Sprintf("operation of kind %q passed the check", op.Kind))
	}
}

func (s *Simulator) decideAuthorize(op messages.Operation) (Record, error) {
	c, err := cardOf(op.PaymentMethod)
	if err != nil {
		return Record{}, err
	}
	if c.declined != "" {
		return declined(op, c.declined), nil
	}
	reference := "auth_" + op.ID
	if c.challenged {
		return Record{Operation: op, Answer: protocol.Answer{
			OperationID: op.ID, Outcome: messages.OutcomeRequiresAction, GatewayReference: reference,
			NextAction: &messages.NextAction{Type: "three_d_secure", URL: s.config.URL + PathChallenge + reference},
		}}, nil
	}
	return s.authorized(op, reference, op.AmountMinor, c), nil
}

func (s *Simulator) decideConfirm(op messages.Operation, a *authorization) (Record, error) {
	switch {
	case a.voided:
		return declined(op, "authorization_voided"), nil
	case a.stage != stageChallenged:
		return declined(op, "already_confirmed"), nil
	case op.AmountMinor != a.asked:
		return Record{}, fmt.Errorf("amount_minor is %d, not that of the authorization, %d", op.AmountMinor, a.asked)
	}
	c, err := cardOf(a.paymentMethod)
	if err != nil {
		return Record{}, err
	}
	return s.authorized(op, a.reference, a.asked, c), nil
}

// authorized sets money aside, and captures it at once if asked to.
func (s *Simulator) authorized(op messages.Operation, reference string, asked int64, c card) Record {
	amount := moved(op, asked, c)
	entry := s.entry(op, reference, reference)
	entry.AuthorizedMinor = amount
	if op.Capture {
		entry.CapturedMinor = amount
	}
	answer := succeeded(op, reference, amount)
	lifetime := s.config.AuthorizationLifetime
	if c.fault.kind == faultLapses {
		lifetime = c.fault.delay
	}
	answer.CaptureBefore = s.config.Now().UTC().Add(lifetime).Truncate(time.Microsecond)
	return Record{Operation: op, Answer: answer, Entry: entry}
}

func (s *Simulator) decideCapture(op messages.Operation, a *authorization) Record {
	switch {
	case a.stage == stageChallenged:
		return declined(op, "authentication_pending")
	case a.voided:
		return declined(op, "authorization_voided")
	case a.lapsed(s.config.Now()):
		return declined(op, "authorization_expired")
	case op.AmountMinor > a.remaining():
		return declined(op, "amount_exceeds_authorized")
	}
	amount := moved(op, op.AmountMinor, a.card())
	if a.card().fault.kind == faultOverCapture {
		amount = min(amount+amount/10, a.remaining())
	}
	entry := s.entry(op, "cap_"+op.ID, a.reference)
	entry.CapturedMinor = amount
	if op.Final {
		entry.ReleasedMinor = a.remaining() - amount
	}
	return Record{Operation: op, Answer: succeeded(op, entry.GatewayReference, amount), Entry: entry}
}

func (s *Simulator) decideVoid(op messages.Operation, a *authorization) Record {
	switch {
	case a.voided:
		return declined(op, "authorization_voided")
	case a.stage != stageChallenged && a.remaining() == 0:
		return declined(op, "nothing_to_void")
	}
	entry := s.entry(op, "void_"+op.ID, a.reference)
	entry.ReleasedMinor = a.remaining()
	return Record{Operation: op, Answer: succeeded(op, entry.GatewayReference, entry.ReleasedMinor), Entry: entry}
}

func (s *Simulator) decideRefund(op messages.Operation, a *authorization) Record {
	if op.AmountMinor > a.captured-a.refunded-a.refunding {
		return declined(op, "amount_exceeds_captured")
	}
	switch a.card().refund {
	case refundFails:
		if s.observer.Tell != nil {
			return s.refunded(op, a) // The reversal follows, and is told.
		}
		return declined(op, "refund_failed")
	case refundPending:
		return Record{Operation: op, Answer: protocol.Answer{
			OperationID: op.ID, Outcome: messages.OutcomePending, GatewayReference: "re_" + op.ID,
		}}
	default:
		return s.refunded(op, a)
	}
}

// refunded gives money back, at once or for a refund that was pending.
func (s *Simulator) refunded(op messages.Operation, a *authorization) Record {
	amount := moved(op, op.AmountMinor, a.card())
	entry := s.entry(op, "re_"+op.ID, a.reference)
	entry.RefundedMinor = amount
	return Record{Operation: op, Answer: succeeded(op, entry.GatewayReference, amount), Entry: entry}
}

// card returns the card behind the authorization, which was read when it was authorized.
func (a *authorization) card() card {
	c, err := cardOf(a.paymentMethod)
	if err != nil {
		panic(fmt.Sprintf("authorization %s: %v", a.reference, err))
	}
	return c
}

// moved is the amount that is moved when one is asked for.
func moved(op messages.Operation, asked int64, c card) int64 {
	if c.fault.befalls(op.Kind, 1) == faultWrongAmount && asked > 1 {
		return asked - 1
	}
	return asked
}

func (s *Simulator) entry(op messages.Operation, reference, authorization string) *Entry {
	return &Entry{
		Sequence: int64(len(s.entries)) + 1, At: s.config.Now().UTC(), OperationID: op.ID, Kind: op.Kind, Tenant: op.Tenant,
		PaymentID: op.PaymentID, GatewayReference: reference, AuthorizationReference: authorization, Currency: op.Currency,
	}
}

func succeeded(op messages.Operation, reference string, amount int64) protocol.Answer {
	return protocol.Answer{OperationID: op.ID, Outcome: messages.OutcomeSucceeded, GatewayReference: reference, AmountMinor: amount}
}

func declined(op messages.Operation, code string) Record {
	return Record{Operation: op, Answer: protocol.Answer{
		OperationID: op.ID, Outcome: messages.OutcomeDeclined, DeclineCode: code,
	}}
}

// apply folds a record into the simulator's state.
func (s *Simulator) apply(r Record) {
	if r.Entry != nil && r.Entry.Reversal {
		s.entries = append(s.entries, *r.Entry)
		s.authorizations[ownedBy(r.Entry.Tenant, r.Entry.AuthorizationReference)].add(*r.Entry)
		return
	}
	q := s.requests[protocol.KeyOf(r.Operation)]
	if q == nil {
		q = &request{operation: parameters(r.Operation)}
		s.requests[protocol.KeyOf(r.Operation)] = q
	}
	wasPending := q.answer != nil && q.answer.Outcome == messages.OutcomePending
	q.answer = &r.Answer
	var e Entry
	if r.Entry != nil {
		e = *r.Entry
		s.entries = append(s.entries, e)
		q.effects++
	}
	async := s.cardOf(r.Operation).fault.kind == faultAsync
	if r.Answer.Outcome == messages.OutcomeDeclined || async && r.Answer.Outcome == messages.OutcomePending {
		return
	}
	if r.Operation.Kind == messages.OperationAuthorize {
		a := &authorization{
			reference: r.Answer.GatewayReference, paymentMethod: r.Operation.PaymentMethod, currency: r.Operation.Currency,
			asked: r.Operation.AmountMinor,
		}
		s.authorizations[ownedBy(r.Operation.Tenant, a.reference)] = a
		a.settle(r, e)
		return
	}
	a := s.authorizations[ownedBy(r.Operation.Tenant, r.Operation.GatewayReference)]
	switch {
	case r.Answer.Outcome == messages.OutcomePending:
		a.refunding += r.Operation.AmountMinor
	case wasPending && !async:
		a.refunding -= r.Operation.AmountMinor
	}
	a.settle(r, e)
}

func (a *authorization) add(e Entry) {
	a.authorized += e.AuthorizedMinor
	a.captured += e.CapturedMinor
	a.released += e.ReleasedMinor
	a.refunded += e.RefundedMinor
}

// settle folds an entry into its authorization.
func (a *authorization) settle(r Record, e Entry) {
	a.add(e)
	switch r.Operation.Kind {
	case messages.OperationAuthorize, messages.OperationConfirm:
		if r.Answer.Outcome == messages.OutcomeSucceeded {
			a.stage, a.captureBefore = stageOpen, r.Answer.CaptureBefore
		}
	case messages.OperationCapture:
		if r.Operation.Final {
			a.stage = stageClosed
		}
	case messages.OperationVoid:
		a.stage, a.voided = stageClosed, true
	case messages.OperationRefund:
	}
}

// Restore applies a record of an earlier simulator, in the order in which the observer got them,
// before the first request. It fails for a record that cannot follow those before it.
func (s *Simulator) Restore(r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Entry != nil && r.Entry.Sequence != int64(len(s.entries))+1 {
		return fmt.Errorf("entry %d follows entry %d", r.Entry.Sequence, len(s.entries))
	}
	if r.Entry != nil && r.Entry.Reversal {
		if _, found := s.authorizations[ownedBy(r.Entry.Tenant, r.Entry.AuthorizationReference)]; !found {
			return fmt.Errorf("entry %d reverses what does not exist", r.Entry.Sequence)
		}
		s.apply(r)
		return nil
	}
	if r.Operation.Kind != messages.OperationAuthorize && r.Answer.Outcome != messages.OutcomeDeclined {
		if _, found := s.authorizations[ownedBy(r.Operation.Tenant, r.Operation.GatewayReference)]; !found {
			return fmt.Errorf("operation %s is on an authorization that does not exist", r.Operation.ID)
		}
	}
	s.apply(r)
	return nil
}

// tell passes on a record that was applied, and arranges for the effects that follow it. The
// channel is closed when the receiver has the event; it is nil if no event is sent.
func (s *Simulator) tell(r Record) <-chan struct{} {
	if s.observer.Tell == nil {
		return nil
	}
	c := s.cardOf(r.Operation)
	captured := r.Entry != nil && r.Entry.CapturedMinor > 0
	var m Manner
	switch c.fault.webhook(r.Operation.Kind) {
	case faultWebhookDuplicate:
		m.Twice = true
	case faultWebhookReordered:
		m.Reordered = true
	default:
	}
	switch {
	case r.Answer.Outcome == messages.OutcomePending:
		s.later(func() { s.completePending(protocol.KeyOf(r.Operation)) })
	case captured && c.fault.kind == faultCaptureReversed:
		s.later(func() { s.reverseCapture(r) })
	case captured && c.disputed:
		m.Disputed = true
	case r.Entry != nil && r.Entry.RefundedMinor > 0 && c.refund == refundFails:
		s.later(func() { s.reverseRefund(r) })
	}
	return s.observer.Tell(r, m)
}

// later does something with the lock held after Moment, unless the simulator is closed before.
func (s *Simulator) later(do func()) {
	s.running.Go(func() {
		timer := time.NewTimer(s.observer.Moment)
		defer timer.Stop()
		select {
		case <-s.stop:
			return
		case <-timer.C:
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed && s.broken == nil {
			do()
		}
	})
}

// completePending ends a pending operation, if a lookup has not.
func (s *Simulator) completePending(key protocol.Key) {
	if q := s.requests[key]; q.answer.Outcome == messages.OutcomePending {
		s.complete(q)
	}
}

// reverseCapture takes back the part of a capture that was not refunded. That part cannot be
// captured again.
func (s *Simulator) reverseCapture(r Record) {
	a := s.authorizations[ownedBy(r.Entry.Tenant, r.Entry.AuthorizationReference)]
	amount := min(r.Entry.CapturedMinor, a.captured-a.refunded-a.refunding)
	if amount <= 0 {
		return
	}
	entry := s.entry(r.Operation, "rev_"+r.Operation.ID, a.reference)
	entry.CapturedMinor, entry.ReleasedMinor = -amount, amount
	s.reverse(r, entry)
}

// reverseRefund takes back a refund that did not reach the customer.
func (s *Simulator) reverseRefund(r Record) {
	entry := s.entry(r.Operation, "rev_"+r.Operation.ID, r.Entry.AuthorizationReference)
	entry.RefundedMinor = -r.Entry.RefundedMinor
	s.reverse(r, entry)
}

func (s *Simulator) reverse(r Record, entry *Entry) {
	entry.Reversal = true
	r.Entry = entry
	if s.commit(r) {
		s.observer.Tell(r, Manner{})
	}
}
