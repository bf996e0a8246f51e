package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
)

// Filter narrows a listing. Its zero value lets everything through.
type Filter struct {
	// Tenant, Command and PaymentID are "_" for letters in which they could not be read.
	Tenant, Command, PaymentID string
	Reason                     string
	// Since leaves out commands given up before it, Until those given up then or later.
	Since, Until time.Time
}

func (f Filter) passes(l Letter) bool {
	return (f.Reason == "" || l.Reason == f.Reason) && !l.DeadAt.Before(f.Since) && (f.Until.IsZero() || l.DeadAt.Before(f.Until))
}

// List calls yield for every dead letter that passes the filter, oldest first, until it returns
// false or none is left. It reads many at once; errors are those of bus.Scan, and
// *messages.DecodeError for a filter that nothing could match.
func List(ctx context.Context, js jetstream.JetStream, f Filter, yield func(Letter) bool) error {
	return listFrom(ctx, js, 0, f, yield)
}

func listFrom(ctx context.Context, js jetstream.JetStream, sequence uint64, f Filter, yield func(Letter) bool) error {
	subject, err := messages.DeadLetterMatch{Tenant: f.Tenant, Command: f.Command, PaymentID: f.PaymentID}.Filter()
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	if _, err := js.Stream(ctx, messages.StreamDeadLetters); err != nil {
		return fmt.Errorf("open stream %s: %w", messages.StreamDeadLetters, err)
	}
	from := bus.ScanFrom{Stream: messages.StreamDeadLetters, Subject: subject, Sequence: sequence}
	err = bus.Scan(ctx, js, from, func(msg *jetstream.RawStreamMsg) bool {
		l := parse(msg)
		return !f.passes(l) || yield(l)
	})
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	return nil
}

// Get returns one dead letter. It fails with ErrNotFound if there is none with that sequence.
func Get(ctx context.Context, js jetstream.JetStream, sequence uint64) (Letter, error) {
	stream, err := js.Stream(ctx, messages.StreamDeadLetters)
	if err != nil {
		return Letter{}, fmt.Errorf("open stream %s: %w", messages.StreamDeadLetters, err)
	}
	msg, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, fmt.Errorf("dead letter %d: %w", sequence, ErrNotFound)
	}
	if err != nil {
		return Letter{}, fmt.Errorf("read dead letter %d: %w", sequence, err)
	}
	return parse(msg), nil
}

// Remove discards a dead letter for good and returns it as it was: no other copy is left. It fails
// with ErrNotFound if there is none with that sequence.
func Remove(ctx context.Context, js jetstream.JetStream, sequence uint64) (Letter, error) {
	l, err := Get(ctx, js, sequence)
	if err != nil {
		return Letter{}, err
	}
	if err := remove(ctx, js, sequence); err != nil {
		return l, fmt.Errorf("remove dead letter %d: %w", sequence, err)
	}
	return l, nil
}

// remove takes a letter out of the stream. A letter that is gone already is no error.
func remove(ctx context.Context, js jetstream.JetStream, sequence uint64) error {
	stream, err := js.Stream(ctx, messages.StreamDeadLetters)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", messages.StreamDeadLetters, err)
	}
	return unlessGone(ctx, js, stored{messages.StreamDeadLetters, sequence}, stream.DeleteMsg(ctx, sequence))
}

// unlessGone forgives the error of a deletion if the message isn't there: the server gives the same
// one for a message that another process has deleted and for one that it will not delete.
func unlessGone(ctx context.Context, js jetstream.JetStream, at stored, err error) error {
	if !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return err
	}
	if _, looked := at.fetch(ctx, js); errors.Is(looked, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}

// EraseOriginal overwrites the original of a letter that was masked, which its stream would keep in
// clear until it ages. It does nothing for any other letter, and nothing the second time.
func EraseOriginal(ctx context.Context, js jetstream.JetStream, l Letter) error {
	if !l.Masked {
		return nil
	}
	stream, err := js.Stream(ctx, l.Stream)
	if err == nil {
		err = unlessGone(ctx, js, stored{l.Stream, l.StreamSequence}, stream.SecureDeleteMsg(ctx, l.StreamSequence))
	}
	if err != nil {
		return fmt.Errorf("erase command %d, which holds a card number: %w", l.StreamSequence, err)
	}
	return nil
}
