package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// Commands compares the stream of commands with the claims and the dead letters: every command
// that the stream still holds, and that the workers' consumer does not wait for any more, was
// answered or became a dead letter. It looks at all payments, or at those that are named.
//
// A resume is not looked at, and a notification only if it cannot be read: they may change nothing
// and leave no trace. A command whose dead letter a person has removed is a finding until it ages
// out.
//
// It also finds the payments whose call to a gateway is under way while neither a timer nor a
// command is to come: the command that made it became a dead letter, for example.
//
// It may run while payments are processed. Its memory is some twenty bytes for each dead letter. An
// error means that the comparison could not be completed, not that it found a violation.
func Commands(ctx context.Context, db store.DB, js jetstream.JetStream, findingsMax int, payments ...uuid.UUID) (Report, error) {
	a := &commandAudit{db: db, tally: newTally(findingsMax), only: payments, letters: map[uint64]string{}}
	if err := a.run(ctx, js); err != nil {
		return a.result(), fmt.Errorf("compare the commands with the claims and the dead letters: %w", err)
	}
	return a.result(), nil
}

// commandAudit is one run of Commands.
type commandAudit struct {
	*tally
	db   store.DB
	only []uuid.UUID
	// letters are the subjects of commands that became dead letters, by the sequences they had.
	letters map[uint64]string
	batch   []heldCommand
}

// heldCommand is a command that the stream still holds.
type heldCommand struct {
	sequence uint64
	subject  string
	command  messages.Command
}

func (a *commandAudit) run(ctx context.Context, js jetstream.JetStream) error {
	awaiting, err := books.ListAwaiting(ctx, a.db, a.only...)
	if err != nil {
		return err
	}
	// What the consumer is done with by now has left its trace before that.
	handled, err := bus.NewBacklog(js).Handled(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		a.found(CommandsAnswered, uuid.Nil, "stream %s has no consumer %s: no worker is given a command", messages.StreamCommands, bus.ConsumerWorkers)
		return nil
	}
	if err != nil {
		return err
	}
	err = deadletter.List(ctx, js, deadletter.Filter{}, func(l deadletter.Letter) bool {
		// A letter without a subject may stand for a stretch of commands, which it does not answer.
		if l.Stream == messages.StreamCommands && l.OriginalSubject != "" {
			a.letters[l.StreamSequence] = l.OriginalSubject
		}
		return true
	})
	if err != nil {
		return err
	}
	var failed error
	err = bus.Scan(ctx, js, bus.ScanFrom{Stream: messages.StreamCommands}, func(msg *jetstream.RawStreamMsg) bool {
		if msg.Sequence > handled {
			return false
		}
		a.take(msg)
		if len(a.batch) == batchMax {
			failed = a.match(ctx)
		}
		return failed == nil
	})
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	if err := a.match(ctx); err != nil || len(awaiting) == 0 {
		return err
	}
	return a.lookForForgotten(ctx, js, awaiting, handled)
}

// lookForForgotten reports the payments whose call was under way before the consumer was asked how
// far it is, is under way still, and for which no command waits.
func (a *commandAudit) lookForForgotten(ctx context.Context, js jetstream.JetStream, before []books.Awaiting, handled uint64) error {
	versions := make(map[uuid.UUID]int64, len(before))
	for _, w := range before {
		versions[w.PaymentID] = w.Version
	}
	from := bus.ScanFrom{Stream: messages.StreamCommands, Sequence: handled + 1}
	err := bus.Scan(ctx, js, from, func(msg *jetstream.RawStreamMsg) bool {
		if cmd, err := messages.DecodeCommand(msg.Subject, producersHeaders(msg.Header), msg.Data); err == nil {
			delete(versions, cmd.PaymentID)
		}
		return true
	})
	if err != nil {
		return err
	}
	after, err := books.ListAwaiting(ctx, a.db, a.only...)
	if err != nil {
		return err
	}
	a.checked(books.NothingStuck, int64(len(before)))
	for _, w := range after {
		if version, forgotten := versions[w.PaymentID]; forgotten && version == w.Version {
			a.found(books.NothingStuck, w.PaymentID,
				"a call to the gateway was made at %s, and neither a timer nor a command is to come; the sweep of a scheduler takes it up",
				w.Since.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// take looks at one command; those that a claim must answer wait for match.
func (a *commandAudit) take(msg *jetstream.RawStreamMsg) {
	cmd, err := messages.DecodeCommand(msg.Subject, producersHeaders(msg.Header), msg.Data)
	switch {
	case !a.asked(cmd.PaymentID):
	case a.letters[msg.Sequence] == string(messages.MaskCardNumbers([]byte(msg.Subject))):
		a.checked(CommandsAnswered, 1)
	case err != nil:
		a.checked(CommandsAnswered, 1)
		a.found(CommandsAnswered, cmd.PaymentID, "command %d on %s cannot be read and has no dead letter: %v",
			msg.Sequence, string(messages.MaskCardNumbers([]byte(msg.Subject))), err)
	case cmd.Name() == messages.CommandResume || cmd.Name() == messages.CommandNotify:
	default:
		a.checked(CommandsAnswered, 1)
		a.batch = append(a.batch, heldCommand{msg.Sequence, msg.Subject, cmd})
	}
}

func (a *commandAudit) asked(paymentID uuid.UUID) bool {
	for _, id := range a.only {
		if id == paymentID {
			return true
		}
	}
	return len(a.only) == 0
}

// producersHeaders leaves out the headers by which the server names the place of a message.
func producersHeaders(header nats.Header) nats.Header {
	kept := nats.Header{}
	for name, values := range header {
		switch name {
		case jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer, jetstream.LastSequenceHeader,
			"Nats-Num-Pending", "Nats-UpTo-Sequence":
		default:
			kept[name] = values
		}
	}
	return kept
}

func (a *commandAudit) match(ctx context.Context) error {
	commands := make([]messages.Command, len(a.batch))
	for i := range a.batch {
		commands[i] = a.batch[i].command
	}
	unanswered, err := books.Unanswered(ctx, a.db, commands)
	if err != nil {
		return err
	}
	for _, i := range unanswered {
		held := &a.batch[i]
		a.found(CommandsAnswered, held.command.PaymentID,
			"command %d, a %s with key %q, has neither a claim nor a dead letter: it was passed over, or a person removed its letter",
			held.sequence, held.command.Name(), held.command.IdempotencyKey)
	}
	a.batch = a.batch[:0]
	return nil
}
