package chaos

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// evidence is what a run left behind about its plans.
type evidence struct {
	run  Run
	sent []Sent
	seen []Seen
	// payments are the recorded ones, by id. answers are the claims of their commands.
	payments map[uuid.UUID]*payment.Payment
	answers  map[slot]answer
	// refusals are the codes of the events command.rejected, by payment and version.
	refusals map[place]messages.RejectionCode
	// reviews are the reviews that were opened, with the unknown outcomes before them.
	reviews []review
	// letters are the reasons of the dead letters, by the message ids of their originals.
	letters map[string]string
	// ledgers are those of the gateways; nil leaves them out.
	ledgers map[string]audit.Ledger
	// faults were injected. ladder is the age of an unknown outcome at which a person is asked.
	faults []Injection
	ladder time.Duration
	// notified counts the notifications that were accepted.
	notified int64
	// gone reports whether a fault took an acknowledged command before a worker read it; nil is
	// never.
	gone func(*Sent) bool
}

// place is one event.
type place struct {
	paymentID uuid.UUID
	version   int64
}

// review is one review of an operation. since is when its outcome became unknown, zero if it did
// not.
type review struct {
	paymentID     uuid.UUID
	operation     string
	reason        string
	since, opened time.Time
}

// oracle holds the evidence against the plans.
type oracle struct {
	*judge
	evidence
	ledger map[uuid.UUID]end
	// asked and accepted count commands by name, as the plans ask for them.
	asked, accepted map[messages.CommandName]int64
	// disputes counts those that the plans provoke, disputed those of them that are recorded.
	disputes, disputed int64
	scripts            int64
}

// consult judges every plan: its commands were answered as it justifies, its payment ended where it
// must, and of each kind of command enough were accepted.
func consult(j *judge, e evidence) {
	o := &oracle{judge: j, evidence: e, ledger: ledgerEnds(e.ledgers), asked: map[messages.CommandName]int64{}, accepted: map[messages.CommandName]int64{}}
	p := plan{seed: e.run.Seed, tenants: e.run.Tenants, webhooks: e.run.Webhooks}
	scripts := map[int]*script{}
	taken := map[int]map[int]*Sent{}
	for i := range e.sent {
		s := &e.sent[i]
		index := s.Number / numbersEach
		if s.Copy != "" {
			continue
		}
		if scripts[index] == nil {
			scripts[index], taken[index] = p.script(index), map[int]*Sent{}
		}
		taken[index][s.Number%numbersEach] = s
	}
	for index, s := range scripts {
		o.scripts++
		o.judgeScript(s, taken[index])
	}
	o.judgeSeen()
	o.judgeShares()
}

// judgeScript judges one plan by the steps that were taken.
func (o *oracle) judgeScript(s *script, sent map[int]*Sent) {
	o.Item(AsPlanned).Checked++
	acknowledged := 0
	for n := range s.steps {
		if sent[n] == nil || !sent[n].Acknowledged || o.vanished(sent[n]) {
			break
		}
		acknowledged++
	}
	p := o.payments[s.id]
	excuse := o.excused(s)
	if excuse != "" {
		o.Figures.Excused++
	}
	if s.impatient {
		o.judgeImpatient(s, p, sent, excuse)
		return
	}
	refusedEarly := false
	for n := range acknowledged {
		refusedEarly = o.judgeStep(s, n, sent[n], excuse) || refusedEarly
	}
	if excuse != "" || refusedEarly {
		return // The finding about the command stands for its consequences.
	}
	ends := slices.Concat(s.ends[acknowledged : min(len(sent), len(s.steps))+1]...)
	if len(sent) == acknowledged {
		ends = s.ends[acknowledged]
	}
	if acknowledged > 0 && o.struck(faultNasty) && s.steps[acknowledged-1].command == messages.CommandVoid {
		ends = append(slices.Clone(ends), s.ends[acknowledged-1]...) // its void may have been refused
	}
	ends = slices.DeleteFunc(slices.Clone(ends), func(e end) bool { return e.cut && !o.killedAfter(sent[acknowledged-1]) })
	if s.ends[acknowledged][0].disputed > 0 && !o.killedAfter(sent[acknowledged-1]) {
		o.disputes++
		if p != nil && len(p.Disputes) > 0 {
			o.disputed++
		}
	}
	o.judgeEnd(s, p, ends)
}

// judgeStep judges the answer to one command. It reports whether it found something.
func (o *oracle) judgeStep(s *script, n int, sent *Sent, excuse string) bool {
	step := &s.steps[n]
	if sent.DeadLetter != "" {
		return false // judgeSent looks for the letter.
	}
	if step.refusal == "" {
		o.asked[step.command]++
	}
	given, decided := o.answerTo(sent)
	if !decided {
		return true // That it was lost is a finding of judgeSent.
	}
	if given.event != messages.EventCommandRejected {
		o.accepted[step.command]++
		if step.refusal != "" {
			o.found(AsPlanned, s.id, "%s, step %d, was accepted; the plan (%s) has it refused as %s", step.command, n+1, s.card(), step.refusal)
			return true
		}
		return false
	}
	code := o.refusals[place{given.paymentID, given.version}]
	switch {
	case code == step.refusal:
		o.Figures.RefusedAsPlanned++
		return false
	case excuse != "" && orderly(code):
		o.Figures.RefusedExcused++
		return false
	case step.refusal == "":
		o.found(AsPlanned, s.id, "%s, step %d, was refused as %s; nothing in the plan (%s) and no fault justifies that", step.command, n+1, code, s.card())
	default:
		o.found(AsPlanned, s.id, "%s, step %d, was refused as %s; the plan (%s) has it refused as %s", step.command, n+1, code, s.card(), step.refusal)
	}
	return true
}

// vanished reports whether an acknowledged command was not taken, because a fault took it before.
func (o *oracle) vanished(s *Sent) bool {
	if o.gone == nil || s.DeadLetter != "" {
		return false
	}
	_, decided := o.answerTo(s)
	return !decided && o.gone(s)
}

func (s *script) card() string { return s.create.PaymentMethod + ", " + string(s.create.CaptureMethod) }

// answerTo returns the recorded answer to a message.
func (o *oracle) answerTo(s *Sent) (answer, bool) {
	q := s.question()
	if own, taken := o.answers[q.slot()]; taken && own.paymentID == q.paymentID && own.payload == q.payload {
		return own, true
	}
	beside, refused := o.answers[q.besides()]
	return beside, refused
}

// orderly reports whether a refusal may be due to the order of commands, or to an operation that
// has not settled.
func orderly(code messages.RejectionCode) bool {
	switch code {
	case messages.RejectPaymentNotFound, messages.RejectOperationInProgress, messages.RejectOutcomeUnknown, messages.RejectInvalidState,
		messages.RejectAmountExceedsCapturable, messages.RejectAmountExceedsRefundable, messages.RejectNothingToCapture,
		messages.RejectNothingToRefund, messages.RejectPaymentMethodRequired, messages.RejectPaymentMethodUnexpected,
		messages.RejectAuthorizationExpired:
		return true
	default:
		return false
	}
}

// judgeImpatient judges a plan whose commands came in any order: any of them may be refused for
// that, but for nothing else, and the payment must come to rest within its limits.
func (o *oracle) judgeImpatient(s *script, p *payment.Payment, sent map[int]*Sent, excuse string) {
	for n, step := range sent {
		given, decided := o.answerTo(step)
		if decided && p == nil && given.paymentID == s.id {
			o.found(NeverLost, s.id, "its %s is answered, and there is no such payment", step.Command)
			return
		}
		if !step.Acknowledged || !decided || given.event != messages.EventCommandRejected {
			continue
		}
		code := o.refusals[place{given.paymentID, given.version}]
		if orderly(code) || code == s.steps[n].refusal || code == messages.RejectIdempotencyConflict || code == messages.RejectAlreadyProcessed {
			o.Figures.RefusedForOrder++
			continue
		}
		o.found(AsPlanned, s.id, "%s was refused as %s, which no order of the commands explains", step.Command, code)
	}
	if p == nil || !p.Created() || excuse != "" {
		return
	}
	if problem := unsettled(p); problem != "" {
		o.found(Liveness, s.id, "%s", problem)
	}
	if reason := reviewOf(p); reason != "" && (!s.differs || reason != messages.ReviewAmount) {
		o.found(AsPlanned, s.id, "it is in review for %s, and its plan (%s) has no reason for one", reason, s.card())
	}
	o.judgeLimits(s, p)
}

// judgeLimits holds an end against the limits of the plan. It reports whether it found something.
func (o *oracle) judgeLimits(s *script, p *payment.Payment) bool {
	moved, known := o.ledger[s.id]
	switch most := s.create.AmountMinor + 1; { // one of its creates asks for 1 more
	case p.CapturedMinor > p.AuthorizedMinor || p.RefundedMinor > p.CapturedMinor || p.AuthorizedMinor > most:
		o.found(WithinLimits, s.id, "%d is authorized, %d captured and %d refunded of a plan for %d",
			p.AuthorizedMinor, p.CapturedMinor, p.RefundedMinor, s.create.AmountMinor)
	case known && (moved.authorized > most || moved.captured > most):
		o.found(NeverTwice, s.id, "the gateways authorized %d and captured %d for a plan (%s) of %d",
			moved.authorized, moved.captured, s.card(), s.create.AmountMinor)
	default:
		return false
	}
	return true
}

// judgeEnd compares a payment at rest with the ends that its plan allows.
func (o *oracle) judgeEnd(s *script, p *payment.Payment, ends []end) {
	if p == nil {
		p = &payment.Payment{ID: s.id, Status: messages.StatusNone}
	}
	if problem := unsettled(p); problem != "" {
		o.found(Liveness, s.id, "%s", problem)
		return
	}
	if o.judgeLimits(s, p) {
		return
	}
	moved, listed := o.ledger[s.id]
	if o.ledgers == nil {
		listed = false
	}
	var first string
	for i := range ends {
		problem := ends[i].differs(p)
		if problem == "" && o.ledgers != nil {
			problem = ends[i].differsFromLedger(moved)
		}
		if problem == "" {
			return
		}
		first = cmp.Or(first, problem)
	}
	name := AsPlanned
	if listed && moved.captured > 0 && (p.Status == messages.StatusFailed || p.Status == messages.StatusRequiresPaymentMethod) {
		name = UnknownIsNotFailed
	}
	o.found(name, s.id, "the plan (%s) ends otherwise: %s", s.card(), first)
}

// The names of the faults that excuse certain ends.
const (
	faultNasty = "gateway-nasty"
	faultAged  = "commands-aged-out"
	faultDisk  = "nats-disk-damaged"
	faultDown  = "gateway-down"
)

// struck reports whether a fault was injected, alone or with others.
func (o *oracle) struck(name string) bool { return struck(o.faults, name) }

func struck(faults []Injection, name string) bool {
	return slices.ContainsFunc(faults, func(i Injection) bool { return i.names(name) })
}

// excused returns why a plan may end otherwise: an outcome stayed unknown for as long as the ladder
// takes, while a fault lasted.
func (o *oracle) excused(s *script) string {
	for i := range o.reviews {
		r := &o.reviews[i]
		if r.paymentID == s.id && r.reason == messages.ReviewUnknown && o.outlived(r) {
			return "an outcome stayed unknown for as long as the ladder takes"
		}
	}
	return ""
}

// forgetfulFor is the time after a command in which a gateway that is killed may forget what it was
// about to do or to tell.
const forgetfulFor = 10 * time.Second

// killedAfter reports whether a gateway was killed soon after a command was published.
func (o *oracle) killedAfter(s *Sent) bool {
	return s != nil && slices.ContainsFunc(o.faults, func(i Injection) bool {
		return i.names(faultDown) && i.At.Add(i.took()).After(s.At) && i.At.Before(s.AcknowledgedAt.Add(forgetfulFor))
	})
}

// outlived reports whether an unknown outcome became a review no sooner than it may, and a fault
// lasted meanwhile that kept the gateway from answering.
func (o *oracle) outlived(r *review) bool {
	if o.ladder == 0 || r.since.IsZero() || r.opened.Sub(r.since) < o.ladder {
		return false
	}
	return slices.ContainsFunc(o.faults, func(i Injection) bool {
		return i.At.Before(r.opened) && i.At.Add(i.took()+o.ladder).After(r.since)
	})
}

// judgeSeen looks for events that the client saw beyond the end of a history.
func (o *oracle) judgeSeen() {
	for i := range o.seen {
		s := &o.seen[i]
		if p := o.payments[s.PaymentID]; p != nil && s.Version > p.Version {
			o.found(History, s.PaymentID, "the client saw event %d (%s), and the history ends at %d", s.Version, s.Type, p.Version)
		}
	}
}

// acceptedMin is the share of the commands of a kind, in a hundred, that must be accepted of those
// that the plans ask for. excusedMax is the share of plans that faults may excuse.
const (
	acceptedMin = 90
	excusedMax  = 10
	// scriptsMin is the number of plans from which shares say something.
	scriptsMin = 50
)

// judgeShares demands a minimum of accepted commands of each kind, and a maximum of excuses.
func (o *oracle) judgeShares() {
	kinds := []messages.CommandName{
		messages.CommandCreate, messages.CommandConfirm, messages.CommandCapture, messages.CommandVoid, messages.CommandRefund,
		messages.CommandResolve, messages.CommandCompensate,
	}
	for _, kind := range kinds {
		o.Item(AsPlanned).Checked++
		asked, accepted := o.asked[kind], o.accepted[kind]
		if 100*accepted < acceptedMin*asked {
			o.found(AsPlanned, uuid.Nil, "of %d %s commands that the plans ask for, %d were accepted", asked, kind, accepted)
		}
		if asked == 0 && o.scripts >= 10*scriptsMin {
			o.found(AsPlanned, uuid.Nil, "no plan of %d asked for a %s: the run proves nothing about it", o.scripts, kind)
		}
	}
	if o.scripts >= scriptsMin && 100*o.Figures.Excused > excusedMax*o.scripts {
		o.found(AsPlanned, uuid.Nil, "%d of %d plans are excused by faults: too many", o.Figures.Excused, o.scripts)
	}
	o.Item(AsPlanned).Checked++
	if 100*o.disputed < acceptedMin*o.disputes {
		o.found(AsPlanned, uuid.Nil, "of %d disputes that the plans provoke, %d are recorded", o.disputes, o.disputed)
	}
	if o.notified < o.disputed {
		o.found(AsPlanned, uuid.Nil, "%d notify commands were accepted, and %d disputes are recorded", o.notified, o.disputed)
	}
}
