package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// A record of what the code under test does today is green: no plan's oracle asks for another end,
// and no refusal is left that nothing justifies.
func TestOursGoodRecordIsGreen(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		s := newStage(t)
		s.run.Seed = seed
		s.perform()
		v := s.verdict(&Drain{Done: true})
		if !v.OK {
			t.Errorf("seed %d: %s", seed, findings(&v))
		}
		if v.Figures.DeadLetters == 0 || v.Figures.RefusedAsPlanned == 0 || v.Figures.RefusedForOrder == 0 || v.Figures.DuplicatesAbsorbed == 0 {
			t.Errorf("seed %d: the plans ask for too little: %+v", seed, v.Figures)
		}
	}
}

func findings(v *Verdict) string {
	var text strings.Builder
	for _, item := range v.Items {
		for i, f := range item.Findings {
			if i < 10 {
				text.WriteString("\n" + string(item.Name) + ": " + f.PaymentID.String() + ": " + f.Detail)
			}
		}
	}
	return text.String()
}

// mutant is a defect, and what the verdict must say about it.
type mutant struct {
	// before is the defect of the code under test, after one of what it left behind.
	before, after func(*stage)
	drain         Drain
	item          ItemName
	says          string
}

func is(names ...messages.CommandName) func(messages.CommandName) bool {
	return func(name messages.CommandName) bool { return slices.Contains(names, name) }
}

func mutants() map[string]mutant {
	done := Drain{Done: true}
	return map[string]mutant{
		"refuses every capture and void": {
			before: func(s *stage) { s.refuses = is(messages.CommandCapture, messages.CommandVoid) }, drain: done,
			item: AsPlanned, says: "capture commands that the plans ask for, 0 were accepted",
		},
		"refuses every void": {
			before: func(s *stage) { s.refuses = is(messages.CommandVoid) }, drain: done,
			item: AsPlanned, says: "was refused as invalid_state; nothing in the plan",
		},
		"makes every refund a dead letter": {
			before: func(s *stage) { s.buries = is(messages.CommandRefund) }, drain: done,
			item: NeverLost, says: "is a dead letter for deliveries_exhausted: no plan asks for that",
		},
		"reviews every unknown": {
			before: func(s *stage) { s.policy.UnknownReplays, s.policy.UnknownLookups = nil, nil }, drain: done,
			item: AsPlanned, says: "it is in review for outcome_unknown, and the plan has no reason for one",
		},
		"reviews every unknown while a gateway is down": {
			before: func(s *stage) {
				s.policy.UnknownReplays, s.policy.UnknownLookups = nil, nil
				s.faults = []Injection{{Name: "gateway-down", At: s.clock(), Lasting: time.Hour}}
			}, drain: done,
			item: AsPlanned, says: "it is in review for outcome_unknown, and the plan has no reason for one",
		},
		"drops every dispute": {
			before: func(s *stage) {
				s.drops = func(kind messages.NotifyKind) bool { return kind == messages.NotifyDispute }
			}, drain: done,
			item: AsPlanned, says: "disputes that the plans provoke, 0 are recorded",
		},
		"drops every reversal": {
			before: func(s *stage) {
				s.drops = func(kind messages.NotifyKind) bool { return kind == messages.NotifyReversal }
			}, drain: done,
			item: AsPlanned, says: "the plan (sim_capture_reversed, automatic) ends otherwise: it is captured, not failed",
		},
		"does not retry soft declines": {
			before: func(s *stage) { s.policy.SoftRetries = nil }, drain: done,
			item: AsPlanned, says: "times and is not tried again, though the producer asked for 3 attempts",
		},
		"accepts everything again": {
			after: func(s *stage) {
				for at, a := range s.answers {
					a.event = messages.EventPaymentCreated
					s.answers[at] = a
				}
			}, drain: done,
			item: AsPlanned, says: "was accepted; the plan",
		},
		"charges a second time": {
			after: func(s *stage) {
				s.alterLedger(func(l *audit.Ledger, e audit.LedgerEntry) { l.Entries = append(l.Entries, e) })
			}, drain: done,
			item: NeverTwice, says: "the gateways authorized ",
		},
		"charges a minor unit less than it records": {
			after: func(s *stage) {
				s.alterLedger(func(l *audit.Ledger, e audit.LedgerEntry) {
					l.Entries[slices.Index(l.Entries, e)].CapturedMinor--
				})
			}, drain: done,
			item: AsPlanned, says: "by the gateways' ledgers ",
		},
		"loses a command": {
			after: func(s *stage) {
				q := s.good().question()
				delete(s.answers, q.slot())
			}, drain: done,
			item: NeverLost, says: "it was acknowledged and has no outcome",
		},
		"loses a payment": {
			after: func(s *stage) { delete(s.payments, s.good().PaymentID) }, drain: done,
			item: AsPlanned, says: "it is none, not captured",
		},
		"throws a dead letter away": {
			after: func(s *stage) { clear(s.letters) }, drain: done,
			item: NeverLost, says: "it is unreadable, and is no dead letter",
		},
		"calls an unknown charge failed": {
			after: func(s *stage) {
				p := s.payments[s.good().PaymentID]
				p.Status, p.AuthorizedMinor, p.CapturedMinor = messages.StatusFailed, 0, 0
			}, drain: done,
			item: UnknownIsNotFailed, says: "it is failed, not captured",
		},
		"refunds more than was captured": {
			after: func(s *stage) {
				p := s.payments[s.good().PaymentID]
				p.RefundedMinor = p.CapturedMinor + 1
			}, drain: done,
			item: WithinLimits, says: "refunded of a plan for",
		},
		"forgets the end of a history": {
			after: func(s *stage) { s.payments[s.good().PaymentID].Version-- }, drain: done,
			item: History, says: "and the history ends at",
		},
		"leaves an operation open": {
			after: func(s *stage) { s.payments[s.good().PaymentID].Operations[0].Status = payment.OperationUnknown }, drain: done,
			item: Liveness, says: "is still unknown when all is at rest",
		},
		"does not come to rest": {
			drain: Drain{Hanging: []string{"3 commands that no worker has taken"}},
			item:  Liveness, says: "3 commands that no worker has taken",
		},
	}
}

// good returns the first create of a plan that is captured at once, and waits for no more.
func (s *stage) good() *Sent {
	s.Helper()
	for i := range s.sent {
		sent := &s.sent[i]
		p := s.payments[sent.PaymentID]
		if made := s.plan().script(sent.Number / numbersEach); sent.Command == messages.CommandCreate && !made.impatient && p != nil && p.Status == messages.StatusCaptured && p.PaymentMethod == goodCard && len(p.Operations) == 1 {
			return sent
		}
	}
	s.Fatal("no plan is captured at once")
	return nil
}

// alterLedger changes the charge of a payment in the ledger of its gateway.
func (s *stage) alterLedger(change func(*audit.Ledger, audit.LedgerEntry)) {
	s.Helper()
	id := s.good().PaymentID
	for name, ledger := range s.ledgers {
		for _, e := range ledger.Entries {
			if e.PaymentID == id {
				change(&ledger, e)
				s.ledgers[name] = ledger
				return
			}
		}
	}
	s.Fatalf("no gateway charged payment %s", id)
}

// Each mutant of the code under test turns the verdict red under its invariant, with words that
// name what is wrong. TestTamperingIsFound breaks what only servers show: the stream and the stored
// history.
func TestOursJudgeFindsMutants(t *testing.T) {
	t.Parallel()
	for name, m := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			if m.before != nil {
				m.before(s)
			}
			s.perform()
			if m.after != nil {
				m.after(s)
			}
			v := s.verdict(&m.drain)
			if v.OK || !slices.ContainsFunc(v.Item(m.item).Findings, func(f Finding) bool { return strings.Contains(f.Detail, m.says) }) {
				t.Errorf("no finding of %s says %q: %s", m.item, m.says, findings(&v))
			}
		})
	}
}

// An outcome that stayed unknown for the whole ladder may go to a person, but only while a fault
// kept its gateway from answering.
func TestOursUnknownThatOutlivesTheLadderIsExcused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.perform()
	sent := s.good()
	p := s.payments[sent.PaymentID]
	p.Status, p.Operations[0].Status = messages.StatusReview, payment.OperationManualReview
	since := s.clock()
	s.reviews = append(s.reviews, review{p.ID, p.Operations[0].ID, messages.ReviewUnknown, since, since.Add(s.ladder)})
	if v := s.verdict(&Drain{Done: true}); v.OK {
		t.Error("without a fault nothing excuses the review")
	}
	s.faults = []Injection{{Name: "gateway-hangs", At: since.Add(time.Second), Lasting: 2 * time.Second}}
	if v := s.verdict(&Drain{Done: true}); !v.OK || v.Figures.Excused != 1 {
		t.Errorf("%d excused: %s", v.Figures.Excused, findings(&v))
	}
	s.reviews[len(s.reviews)-1].opened = since.Add(s.ladder / 2)
	if v := s.verdict(&Drain{Done: true}); v.OK {
		t.Error("a review that came before its time is not excused")
	}
}

// Commands that a fault took before a worker read them are listed apart: those that aged out only
// if a dead letter reports them, those of a damaged disk from the record of their producers.
// Without such a fault they are lost.
func TestOursVanishedCommandsAreListedApart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.perform()
	sent := s.good()
	// Its plan had gone no further.
	s.sent = slices.DeleteFunc(s.sent, func(other Sent) bool {
		return other.Number/numbersEach == sent.Number/numbersEach && other.Number != sent.Number || other.Number == sent.Number && other.Copy != ""
	})
	sent = s.good()
	delete(s.answers, sent.question().slot())
	delete(s.payments, sent.PaymentID)
	for name, ledger := range s.ledgers {
		ledger.Entries = slices.DeleteFunc(ledger.Entries, func(e audit.LedgerEntry) bool { return e.PaymentID == sent.PaymentID })
		s.ledgers[name] = ledger
	}
	judged := func(faults []Injection, aged ...stretch) Verdict {
		x := &examination{
			Sources: Sources{Record: &Recorded{Run: s.run, Sent: s.sent, Seen: s.seen}, Faults: faults},
			judge:   newJudge(100), letters: s.letters, ackedTo: s.sequence, aged: aged,
		}
		x.judgeSent(s.answers)
		e := s.evidence
		e.faults, e.gone = faults, x.gone
		consult(x.judge, e)
		return x.verdict()
	}
	at := s.clock().Add(time.Hour)
	if v := judged(nil); v.OK || v.Item(NeverLost).Violated != 1 {
		t.Errorf("without a fault: %s", findings(&v))
	}
	if v := judged([]Injection{{Name: faultAged, At: at}}); v.OK || v.Item(NeverLost).Violated != 1 {
		t.Errorf("aged out without a word: %s", findings(&v))
	}
	if v := judged(nil, stretch{1, s.sequence}); v.OK {
		t.Error("commands may not age out by themselves")
	}
	if v := judged([]Injection{{Name: faultAged, At: at}}, stretch{sent.Sequence, sent.Sequence + 2}); !v.OK || v.Figures.AgedOut != 1 {
		t.Errorf("aged out and reported: %s", findings(&v))
	}
	if v := judged([]Injection{{Name: faultDisk, At: at, Lasting: time.Second}}); !v.OK || v.Figures.LostWithStream != 1 || len(v.Lost) != 1 {
		t.Errorf("lost with a disk: %s", findings(&v))
	}
}

func TestOursLettersOfVanishedCommandsAreRead(t *testing.T) {
	t.Parallel()
	letter := func(stream, subject, reason, detail string) *deadletter.Letter {
		return &deadletter.Letter{Stream: stream, OriginalSubject: subject, Reason: reason, Detail: detail, StreamSequence: 7}
	}
	for name, row := range map[string]struct {
		letter *deadletter.Letter
		want   stretch
		is     bool
	}{
		"a stretch": {
			letter(messages.StreamCommands, "", deadletter.ReasonAgedOut, "commands 7 to 12 left the stream before any worker was given them"), stretch{7, 12}, true,
		},
		"one that was handed back": {letter(messages.StreamCommands, "", deadletter.ReasonTerminated, "gone"), stretch{7, 7}, true},
		"one that is there":        {letter(messages.StreamCommands, "payments.cmd.acme.create.x", deadletter.ReasonTerminated, ""), stretch{}, false},
		"of a webhook":             {letter("", "", deadletter.ReasonWebhookUnusable, ""), stretch{}, false},
	} {
		if got, is := stretchOf(row.letter); got != row.want || is != row.is {
			t.Errorf("%s: %+v, %t", name, got, is)
		}
	}
}

// A gateway that is killed may forget the dispute or the reversal that it was about to tell. The
// payment then ends as if there were none, and only then.
func TestOursAKilledGatewayMayForgetWhatFollows(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.perform()
	for i := range s.sent {
		sent := &s.sent[i]
		p := s.payments[sent.PaymentID]
		made := s.plan().script(sent.Number / numbersEach)
		if p == nil || len(p.Disputes) == 0 || made.impatient || made.ends[1][0].disputed == 0 {
			continue
		}
		p.Disputes = nil
		if v := s.verdict(&Drain{Done: true}); v.OK {
			t.Error("a dispute is missing, and no gateway was killed")
		}
		s.faults = []Injection{{Name: faultDown + " (with clock-jumps)", At: sent.At.Add(time.Second), Lasting: time.Second}}
		if v := s.verdict(&Drain{Done: true}); !v.OK {
			t.Errorf("a gateway was killed in that moment: %s", findings(&v))
		}
		return
	}
	t.Fatal("no plan provokes a dispute")
}
