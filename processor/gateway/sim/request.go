package sim

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// request is everything known about one operation.
type request struct {
	// operation is that of the first request.
	operation messages.Operation
	// answer is nil until it is settled.
	answer *protocol.Answer
	// inProgress says that it is being worked on.
	inProgress bool
	requests   int
	lookups    int
	effects    int
	// pendingLookups counts the lookups that found it pending.
	pendingLookups int
}

// parameters returns the operation without the fields that may differ between two requests for the
// same.
func parameters(op messages.Operation) messages.Operation {
	op.Attempt, op.Gateway = 0, ""
	return op
}

// begin takes a request up to the point at which it is answered or its delay begins.
func (s *Simulator) begin(op messages.Operation) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.broken != nil {
		return s.unavailable()
	}
	q, known := s.requests[protocol.KeyOf(op)]
	switch {
	case known && q.operation != parameters(op):
		q.requests++
		return problem(protocol.CodeIdempotencyConflict, "operation %s was asked for with other parameters", op.ID)
	case known && q.inProgress:
		q.requests++
		return problem(protocol.CodeInProgress, "operation %s is being worked on", op.ID)
	case !known:
		if err := s.check(op); err != nil {
			return problem(protocol.CodeInvalidRequest, "%v", err)
		}
		q = &request{operation: parameters(op)}
		s.requests[protocol.KeyOf(op)] = q
	}
	q.requests++
	f := s.cardOf(op).fault
	befalls := f.befalls(op.Kind, q.requests)
	if q.answer != nil {
		return after(befalls, Reply{Answer: q.answer})
	}
	switch befalls {
	case fault500NoCharge:
		return problem(protocol.CodeInternal, "nothing was done")
	case fault429:
		r := problem(protocol.CodeRateLimited, "too many requests")
		r.RetryAfter = s.config.RetryAfter
		return r
	case faultTimeoutNoCharge:
		r := problem(protocol.CodeUnavailable, "the request was dropped")
		r.held = true
		return r
	case faultSlow:
		q.inProgress = true
		s.running.Add(1)
		return Reply{delay: f.delay}
	default:
		return after(befalls, s.settle(op))
	}
}

// finish does a slow operation, unless the simulator was closed before.
func (s *Simulator) finish(op messages.Operation, due bool) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[protocol.KeyOf(op)].inProgress = false
	if !due || s.broken != nil {
		return s.unavailable()
	}
	return s.settle(op)
}

// settle decides, keeps and applies. Nothing is applied that could not be kept.
func (s *Simulator) settle(op messages.Operation) Reply {
	r, err := s.decide(op)
	if err != nil {
		delete(s.requests, protocol.KeyOf(op))
		return problem(protocol.CodeInvalidRequest, "%v", err)
	}
	if s.cardOf(op).fault.kind == faultAsync {
		// It is decided again when it is completed: other operations come in between.
		r = Record{Operation: op, Answer: protocol.Answer{
			OperationID: op.ID, Outcome: messages.OutcomePending, GatewayReference: r.Answer.GatewayReference,
		}}
	}
	if !s.commit(r) {
		return s.unavailable()
	}
	told := s.tell(r)
	return Reply{Answer: s.requests[protocol.KeyOf(op)].answer, told: told}
}

// commit keeps a record and applies it. It returns false if the observer refused the record, after
// which nothing more is done.
func (s *Simulator) commit(r Record) bool {
	if s.observer.Record != nil {
		if err := s.observer.Record(r); err != nil {
			s.broken = err
			return false
		}
	}
	s.apply(r)
	return true
}

// complete ends a pending operation, a refund with success, and returns false if that could not be
// kept.
func (s *Simulator) complete(q *request) bool {
	var r Record
	if s.cardOf(q.operation).fault.kind == faultAsync {
		var err error
		if r, err = s.decide(q.operation); err != nil {
			r = declined(q.operation, "processing_error")
		}
	} else {
		r = s.refunded(q.operation, s.authorizations[ownedBy(q.operation.Tenant, q.operation.GatewayReference)])
	}
	if !s.commit(r) {
		return false
	}
	s.tell(r)
	return true
}

// after returns the reply as a fault changes it when everything is done.
func after(befalls faultKind, r Reply) Reply {
	switch befalls {
	case fault500AfterCharge:
		return problem(protocol.CodeInternal, "something went wrong")
	case faultReset:
		r.Cut = true
	case faultChargeThenTimeout:
		r.held = true
	case faultWebhookFirst:
		r.beaten = true
	default:
	}
	return r
}

// Find answers a lookup of an operation, as Exchange does for a request. After enough lookups a
// pending operation ends.
func (s *Simulator) Find(key protocol.Key) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.broken != nil {
		return s.unavailable()
	}
	if err := key.Check(); err != nil {
		return problem(protocol.CodeInvalidRequest, "%v", err)
	}
	q, known := s.requests[key]
	if known {
		q.lookups++
	}
	switch {
	case known && q.inProgress:
		return problem(protocol.CodeInProgress, "operation %s is being worked on", key.OperationID)
	case !known || q.answer == nil:
		return problem(protocol.CodeOperationNotFound, "nothing is known of operation %s", key.OperationID)
	case q.answer.Outcome != messages.OutcomePending:
		return s.found(q)
	case q.pendingLookups < s.config.PendingLookups:
		q.pendingLookups++
		return s.found(q)
	}
	if !s.complete(q) {
		return s.unavailable()
	}
	return s.found(q)
}

// found answers a lookup of an operation that has an answer. That of an authorize or a confirm
// comes with the state of the authorization.
func (s *Simulator) found(q *request) Reply {
	answer := *q.answer
	reference := answer.GatewayReference
	switch q.operation.Kind {
	case messages.OperationAuthorize:
	case messages.OperationConfirm:
		reference = q.operation.GatewayReference
	default:
		return Reply{Answer: &answer}
	}
	if a, exists := s.authorizations[ownedBy(q.operation.Tenant, reference)]; exists {
		answer.Authorization = a.state(s.config.Now())
	}
	return Reply{Answer: &answer}
}

func (s *Simulator) unavailable() Reply {
	if s.broken != nil {
		return problem(protocol.CodeUnavailable, "%v", s.broken)
	}
	return problem(protocol.CodeUnavailable, "shutting down")
}

// cardOf returns the card behind the operation; the zero card if there is none, which decide
// refuses.
func (s *Simulator) cardOf(op messages.Operation) card {
	method := op.PaymentMethod
	if op.Kind != messages.OperationAuthorize {
		a, found := s.authorizations[ownedBy(op.Tenant, op.GatewayReference)]
		if !found {
			return card{}
		}
		method = a.paymentMethod
	}
	c, err := cardOf(method)
	if err != nil {
		return card{}
	}
	return c
}

// check refuses a request that makes no sense.
func (s *Simulator) check(op messages.Operation) error {
	if err := protocol.CheckOperation(op); err != nil {
		return err
	}
	if op.Kind != messages.OperationAuthorize {
		return nil
	}
	c, err := cardOf(op.PaymentMethod)
	if err == nil && c.fault.kind == faultWrongAmount && op.AmountMinor < 2 {
		err = fmt.Errorf("%s needs an amount of 2 or more", faultWrongAmount)
	}
	return err
}
