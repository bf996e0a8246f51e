package chaos

import (
	"fmt"
	"slices"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// judgeSent looks for the outcome of every acknowledged message.
func (x *examination) judgeSent(answers map[slot]answer) {
	absorbed := map[question]map[uint64]struct{}{}
	for i := range x.Record.Sent {
		s := &x.Record.Sent[i]
		x.Figures.Published++
		x.Figures.Retries += int64(s.Tries - 1)
		if !s.Acknowledged {
			continue // without an acknowledgement, nothing was promised
		}
		x.Figures.Acknowledged++
		if s.Duplicate {
			x.Figures.DuplicatesOnBus++
		}
		x.Item(NeverLost).Checked++
		problem := x.lost(s, answers)
		switch {
		case !slices.Contains(traceless(), problem):
		case x.agedOut(s):
			x.Figures.AgedOut++
			problem = ""
		case x.lostWithDisk(s):
			x.Figures.LostWithStream++
			x.Lost = append(x.Lost, fmt.Sprintf("%s (%s %d, key %q)", s.Subject, s.Stream, s.Sequence, s.Key))
			problem = ""
		}
		if problem != "" {
			name := NeverLost
			if s.Sequence > x.ackedTo {
				name = Liveness // it is still on the bus, and no worker has acknowledged it
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

// lost returns the reason why an acknowledged message has no outcome, "" if it has one.
func (x *examination) lost(s *Sent, answers map[slot]answer) string {
	reason, buried := x.letters[s.MessageID]
	switch {
	case s.DeadLetter != "" && !buried:
		return noLetter
	case s.DeadLetter != "" && reason != s.DeadLetter:
		return "it is a dead letter for " + reason + ", not for " + s.DeadLetter
	case s.DeadLetter != "":
		return ""
	case buried:
		return "it can be read, and is a dead letter for " + reason + ": no plan asks for that"
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
		return notRefused
	}
	return noOutcome
}

// What is said of a command that was acknowledged and left no trace.
const (
	noOutcome  = "it was acknowledged and has no outcome: neither a decision nor a dead letter"
	noLetter   = "it is unreadable, and is no dead letter"
	notRefused = "its key was taken by another command, and it was not refused"
)

func traceless() []string { return []string{noOutcome, noLetter, notRefused} }

func withoutEvent(a answer) string {
	if a.event == "" {
		return "it was decided by an event that does not exist"
	}
	return ""
}

// stretch is a row of commands that left their stream before a worker settled them, as a dead
// letter reports it.
type stretch struct{ from, to uint64 }

// stretchOf reads a stretch from a letter about commands that are gone: those that aged out before
// a worker was given them, or one that was handed back before it aged out. It returns false for a
// letter that holds its command.
func stretchOf(l *deadletter.Letter) (stretch, bool) {
	if l.Stream != messages.StreamCommands || l.OriginalSubject != "" {
		return stretch{}, false
	}
	s := stretch{from: l.StreamSequence, to: l.StreamSequence}
	if l.Reason == deadletter.ReasonAgedOut {
		if _, err := fmt.Sscanf(l.Detail, "commands %d to %d ", &s.from, &s.to); err != nil {
			return stretch{from: l.StreamSequence, to: l.StreamSequence}, true
		}
	}
	return s, true
}

// agedOut reports whether a command aged out of its stream and a letter says so. Without the fault
// that lets commands age, none may.
func (x *examination) agedOut(s *Sent) bool {
	return s.Stream == messages.StreamCommands && x.within(faultAged, s) && slices.ContainsFunc(x.aged, func(aged stretch) bool {
		return s.Sequence >= aged.from && s.Sequence <= aged.to
	})
}

// lostWithDisk reports whether a damaged disk may have taken a command. Nothing but its producer's
// record knows it.
func (x *examination) lostWithDisk(s *Sent) bool { return x.within(faultDisk, s) }

// within reports whether a command was acknowledged before a fault of that name was over.
func (x *examination) within(fault string, s *Sent) bool {
	return slices.ContainsFunc(x.Faults, func(f Injection) bool {
		return f.names(fault) && s.AcknowledgedAt.Before(f.At.Add(f.took()))
	})
}

// gone reports whether a fault took a command before a worker read it.
func (x *examination) gone(s *Sent) bool { return x.agedOut(s) || x.lostWithDisk(s) }
