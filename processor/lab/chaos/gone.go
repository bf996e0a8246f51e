package chaos

import (
	"fmt"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

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
	if !struck(x.Faults, faultAged) || s.Stream != messages.StreamCommands {
		return false
	}
	for _, aged := range x.aged {
		if s.Sequence >= aged.from && s.Sequence <= aged.to {
			return true
		}
	}
	return false
}

// lostWithDisk reports whether a damaged disk may have taken a command: it was acknowledged before
// the fault was over. Nothing but its producer's record knows it.
func (x *examination) lostWithDisk(s *Sent) bool {
	for i := range x.Faults {
		f := &x.Faults[i]
		if f.names(faultDisk) && s.AcknowledgedAt.Before(f.At.Add(f.took())) {
			return true
		}
	}
	return false
}

// gone reports whether a fault took a command before a worker read it.
func (x *examination) gone(s *Sent) bool { return x.agedOut(s) || x.lostWithDisk(s) }
