package worker_test

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// flow is a command, what leads to it, and what must come of it however often it is begun.
type flow struct {
	name string
	// before are handled in peace; body is what is handled with faults.
	before []messages.CommandBody
	body   messages.CommandBody
	// delivered is whose delivery is meant, and of its kind the last: a resume follows upon the
	// command.
	delivered messages.CommandName
	skip      int
	// begins and ends are events in its two commits; a resume that asks again has nothing to record
	// before it does.
	begins, ends messages.EventType
	status       messages.Status
	totals       sim.PaymentTotals
}

func manually(method string) *messages.Create {
	c := create(method)
	c.CaptureMethod = messages.CaptureManual
	return c
}

func flows() []flow {
	const all = 10000
	captured := sim.PaymentTotals{AuthorizedMinor: all, CapturedMinor: all, Effects: 1}
	return []flow{
		{
			name: "create", body: create("pm_card_visa"), delivered: messages.CommandCreate,
			begins: messages.EventPaymentCreated, ends: messages.EventPaymentCaptured, status: messages.StatusCaptured, totals: captured,
		}, {
			name: "capture", before: []messages.CommandBody{manually("pm_card_visa")}, body: &messages.Capture{}, delivered: messages.CommandCapture,
			begins: messages.EventOperationSent, ends: messages.EventPaymentCaptured, status: messages.StatusCaptured,
			totals: sim.PaymentTotals{AuthorizedMinor: all, CapturedMinor: all, Effects: 2},
		}, {
			name: "refund", before: []messages.CommandBody{create("pm_card_visa")}, body: &messages.Refund{AmountMinor: amount(4000)},
			delivered: messages.CommandRefund,
			begins:    messages.EventRefundCreated, ends: messages.EventRefundSucceeded, status: messages.StatusPartiallyRefunded,
			totals: sim.PaymentTotals{AuthorizedMinor: all, CapturedMinor: all, RefundedMinor: 4000, Effects: 2},
		}, {
			name: "void", before: []messages.CommandBody{manually("pm_card_visa")}, body: &messages.Void{}, delivered: messages.CommandVoid,
			begins: messages.EventOperationSent, ends: messages.EventPaymentVoided, status: messages.StatusVoided,
			totals: sim.PaymentTotals{AuthorizedMinor: all, ReleasedMinor: all, Effects: 2},
		}, {
			name: "confirm", before: []messages.CommandBody{create("pm_card_authenticationRequired")}, body: &messages.Confirm{},
			delivered: messages.CommandConfirm,
			begins:    messages.EventOperationSent, ends: messages.EventPaymentCaptured, status: messages.StatusCaptured, totals: captured,
		}, {
			name: "resume", body: create("sim_500_after_charge"), delivered: messages.CommandResume, skip: 1,
			ends: messages.EventPaymentCaptured, status: messages.StatusCaptured, totals: captured,
		},
	}
}

// passage is one payment on its way through a flow.
type passage struct {
	flow
	s  *stepwise
	id uuid.UUID
}

// key is that of the nth command of the passage.
func (p *passage) key(n int) string { return p.id.String() + "-" + string(rune('a'+n)) }

// send publishes the flow's own command.
func (p *passage) send() { p.s.publish(p.id, p.key(len(p.before)), p.body) }

// sendTwice publishes what is delivered twice, as the stream would have it when its window for
// duplicates has passed.
func (p *passage) sendTwice() {
	body := p.body
	if p.delivered == messages.CommandResume {
		body = &messages.Resume{}
	}
	subject := "payments.cmd.acme." + string(p.delivered) + "." + p.id.String()
	for range 2 {
		p.s.raw(subject, body, "Idempotency-Key", p.key(len(p.before)), "Nats-Msg-Id", uuid.NewString())
	}
}

// unknown brings a passage to a resume that is due and not sent yet.
func (p *passage) unknown() {
	p.s.t.Helper()
	p.s.scheduling.kill()
	w := p.s.process().worker()
	p.send()
	p.s.eventually("the outcome is unknown and to be asked for", func() bool {
		found, err := p.s.store.Get(p.s.t.Context(), "acme", p.id)
		return err == nil && found.Status == messages.StatusUnknown && found.DueAt(time.Now()).Before(time.Now())
	})
	p.s.settled()
	w.kill()
	p.skip = 0
}

func (p *passage) events() []messages.Event {
	events, err := p.s.store.History(p.s.t.Context(), "acme", p.id)
	if err != nil {
		return nil // not created yet
	}
	return events
}

func (p *passage) recorded(t messages.EventType) (n int) {
	for _, e := range p.events() {
		if e.Type() == t {
			n++
		}
	}
	return n
}

// prepare brings a payment of each flow to where the flow's own command may come.
func (s *stepwise) prepare(flows []flow) (passages []*passage) {
	s.t.Helper()
	for _, f := range flows {
		passages = append(passages, &passage{flow: f, s: s, id: newID()})
	}
	w := s.process().worker()
	for _, p := range passages {
		for n, body := range p.before {
			s.publish(p.id, p.key(n), body)
		}
	}
	s.settled()
	w.kill()
	return passages
}

// done waits until a passage is at its end.
func (p *passage) done() {
	p.s.t.Helper()
	p.s.eventually(p.name+" ends with "+string(p.ends), func() bool {
		found, err := p.s.store.Get(p.s.t.Context(), "acme", p.id)
		return err == nil && found.Status == p.status && p.recorded(p.ends) > 0
	})
}

// right holds a passage to what must have come of it.
func (p *passage) right() {
	p.s.t.Helper()
	want, got := p.totals, p.s.totals(p.id)
	want.PaymentID, want.Tenant, want.Currency = p.id, "acme", "EUR"
	if diff := cmp.Diff(want, got); diff != "" {
		p.s.t.Errorf("%s: at the gateway (-want +got):\n%s", p.name, diff)
	}
	if n := p.recorded(p.ends); n != 1 {
		p.s.t.Errorf("%s: %s is recorded %d times: %v", p.name, p.ends, n, types(p.events()))
	}
	for i, e := range p.events() {
		if e.Version != int64(i+1) || e.Type() == messages.EventCommandRejected || e.Type() == messages.EventPaymentReviewOpened {
			p.s.t.Errorf("%s: event %d is %s of version %d", p.name, i+1, e.Type(), e.Version)
		}
	}
}

// allRight holds everything to its promises once the passages are done.
func (s *stepwise) allRight(passages []*passage) {
	s.t.Helper()
	s.settled()
	s.verify()
	bus := s.onBus()
	for _, p := range passages {
		p.right()
		var want []int64
		for _, e := range p.events() {
			if e.Type().Published() {
				want = append(want, e.Version)
			}
		}
		if !slices.Equal(want, bus[p.id]) {
			s.t.Errorf("%s: versions %v on the bus, want %v", p.name, bus[p.id], want)
		}
	}
	if letters := s.letters(); len(letters) > 0 {
		s.t.Errorf("%d dead letters, such as %+v", len(letters), letters[0])
	}
}

// onBus returns the versions of each payment's events in the order in which they are in the stream.
func (s *stepwise) onBus() map[uuid.UUID][]int64 {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), messages.StreamEvents)
	if err != nil {
		s.t.Fatal(err)
	}
	versions := map[uuid.UUID][]int64{}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(s.t.Context(), seq)
		if err != nil {
			s.t.Fatal(err)
		}
		e, err := messages.DecodeEvent(msg.Header, msg.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		versions[e.PaymentID] = append(versions[e.PaymentID], e.Version)
	}
	return versions
}
