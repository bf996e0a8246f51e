package chaos

import (
	"context"
	"crypto/sha256"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// question is what a client asked: the same question has one answer, however often it is asked.
type question struct {
	tenant, key string
	command     messages.CommandName
	paymentID   uuid.UUID
	payload     Hash
}

func (s *Sent) question() question {
	return question{tenant: s.Tenant, key: s.Key, command: s.Command, paymentID: s.PaymentID, payload: s.PayloadHash}
}

// slot is where the answer to a question is recorded: under its key, or beside it if the key was taken.
type slot struct {
	tenant, key string
	command     messages.CommandName
	conflict    string
}

func (q question) slot() slot { return slot{tenant: q.tenant, key: q.key, command: q.command} }

// besides is the slot of the refusal of a question whose key was taken.
func (q question) besides() slot {
	s := q.slot()
	s.conflict = string(store.ConflictHash(q.payload, q.paymentID))
	return s
}

// answer is what is recorded in a slot.
type answer struct {
	paymentID uuid.UUID
	payload   [sha256.Size]byte
	event     messages.EventType
	version   int64
}

// compareCommands looks for the outcome of every command that was acknowledged, and for the sender of everything recorded.
func (x *examination) compareCommands(ctx context.Context) error {
	asked := map[question]struct{}{}
	ids := map[string]struct{}{}
	known := map[uuid.UUID]struct{}{}
	for i := range x.Record.Sent {
		if s := &x.Record.Sent[i]; s.DeadLetter == "" {
			asked[s.question()] = struct{}{}
			ids[s.Tenant+"\x00"+s.CommandID] = struct{}{}
			known[s.PaymentID] = struct{}{}
		}
	}
	answers := map[slot]answer{}
	err := books.AtOneMoment(ctx, x.Pool, func(now *books.Moment) error {
		if err := now.Decided(ctx, x.Record.Tenants, func(d books.DecidedCommand) {
			answers[slot{d.Tenant, d.Key, d.Command, string(d.ConflictHash)}] = answer{d.PaymentID, d.PayloadHash, d.EventType, d.Version}
			x.compareDecided(d, asked, ids)
		}); err != nil {
			return err
		}
		return now.Payments(ctx, func(p *payment.Payment) error {
			x.comparePayment(p, known)
			return nil
		})
	})
	if err != nil {
		return err
	}
	x.judgeSent(answers)
	return nil
}

// compareDecided looks for whoever sent a command that was decided.
func (x *examination) compareDecided(d books.DecidedCommand, asked map[question]struct{}, ids map[string]struct{}) {
	switch d.Command {
	case messages.CommandNotify, messages.CommandResolve, messages.CommandResume:
		return // Those of gateways, operators and Tender's own.
	default:
	}
	if d.Rejected {
		x.Figures.Rejected++
	} else {
		x.Figures.Accepted++
	}
	x.Item(NeverLost).Checked++
	q := question{tenant: d.Tenant, key: d.Key, command: d.Command, paymentID: d.PaymentID, payload: d.PayloadHash}
	if _, sent := asked[q]; !sent {
		x.found(NeverLost, d.PaymentID, "a %s of %s with key %q is recorded, and no client sent it", d.Command, d.Tenant, d.Key)
		return
	}
	if _, sent := ids[d.Tenant+"\x00"+d.CausationID]; !sent && d.EventType != "" {
		x.found(NeverLost, d.PaymentID, "event %d was caused by command %q, which no client sent", d.Version, d.CausationID)
	}
}

func (x *examination) comparePayment(p *payment.Payment, known map[uuid.UUID]struct{}) {
	if !contains(x.Record.Tenants, p.Tenant) {
		return
	}
	if p.Status == messages.StatusReview {
		x.Figures.InReview++
	}
	if _, ours := known[p.ID]; !ours {
		x.found(NeverLost, p.ID, "there is a payment that no client asked for")
	}
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// judgeSent looks for what became of every message that was acknowledged.
func (x *examination) judgeSent(answers map[slot]answer) {
	absorbed := map[question]map[uint64]struct{}{}
	for i := range x.Record.Sent {
		s := &x.Record.Sent[i]
		x.Figures.Published++
		x.Figures.Retries += int64(s.Tries - 1)
		if !s.Acknowledged {
			continue // Nothing was promised.
		}
		x.Figures.Acknowledged++
		if s.Duplicate {
			x.Figures.DuplicatesOnBus++
		}
		x.Item(NeverLost).Checked++
		if problem := x.lost(s, answers); problem != "" {
			name := NeverLost
			if s.Sequence > x.settledTo {
				name = Liveness // It is still on the bus: nobody has come to it.
			}
			if name == NeverLost || x.Drain != nil {
				x.found(name, s.PaymentID, "%s (%s %d, key %q): %s", s.Subject, s.Stream, s.Sequence, s.Key, problem)
			}
		}
		if s.DeadLetter == "" {
			if absorbed[s.question()] == nil {
				absorbed[s.question()] = map[uint64]struct{}{}
			}
			absorbed[s.question()][s.Sequence] = struct{}{}
		}
	}
	for _, sequences := range absorbed {
		x.Figures.DuplicatesAbsorbed += int64(len(sequences) - 1)
	}
	x.Figures.DeadLetters = int64(len(x.letters))
}

// lost says how a message that was acknowledged came to nothing, "" if it has its outcome.
func (x *examination) lost(s *Sent, answers map[slot]answer) string {
	reason, buried := x.letters[s.MessageID]
	switch {
	case s.DeadLetter != "" && !buried:
		return "it can't be read, and is no dead letter"
	case s.DeadLetter != "" && reason != s.DeadLetter:
		return "it is a dead letter for " + reason + ", not for " + s.DeadLetter
	case buried:
		return ""
	}
	q := s.question()
	own, taken := answers[q.slot()]
	if taken && own.paymentID == q.paymentID && own.payload == q.payload {
		return withoutEvent(own)
	}
	if beside, refused := answers[q.besides()]; refused {
		return withoutEvent(beside)
	}
	if taken {
		return "its key was taken by another command, and it was not refused"
	}
	return "it was acknowledged and has no outcome: neither a decision nor a dead letter"
}

func withoutEvent(a answer) string {
	if a.event == "" {
		return "it was decided by an event that does not exist"
	}
	return ""
}

// seenBatch is how many events are looked up in one statement.
const seenBatch = 4096

// compareSeen looks for every event that came to the client in the history.
func (x *examination) compareSeen(ctx context.Context) error {
	seen := x.Record.Seen
	x.Figures.EventsSeen = int64(len(seen))
	x.Item(History).Checked += int64(len(seen))
	for len(seen) > 0 {
		batch := seen[:min(seenBatch, len(seen))]
		seen = seen[len(batch):]
		refs := make([]books.EventRef, len(batch))
		for i, s := range batch {
			refs[i] = books.EventRef{PaymentID: s.PaymentID, Version: s.Version, BodyHash: s.BodyHash}
		}
		mismatches, err := books.MatchEvents(ctx, x.Pool, refs)
		if err != nil {
			return err
		}
		for _, m := range mismatches {
			switch s := batch[m.Index]; {
			case !m.Found:
				x.found(History, s.PaymentID, "the client saw event %d (%s), which is not there", s.Version, s.Type)
			case !m.SameBody:
				x.found(History, s.PaymentID, "the client saw event %d (%s) with another body", s.Version, s.Type)
			}
		}
	}
	return nil
}
