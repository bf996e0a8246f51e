package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// Filter narrows a listing. Its zero value lets everything through.
type Filter struct {
	// Tenant is "_" for letters whose tenant could not be read.
	Tenant string
	Reason string
	// Since leaves out what was given up before.
	Since time.Time
}

// List calls yield for every dead letter that passes the filter, oldest first, until it returns false or none is left.
func List(ctx context.Context, js jetstream.JetStream, f Filter, yield func(Letter) bool) error {
	filter, err := messages.DeadLetterFilter(f.Tenant)
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	stream, err := js.Stream(ctx, messages.StreamDeadLetters)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", messages.StreamDeadLetters, err)
	}
	for next := uint64(1); ; {
		msg, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dead letter %d or later: %w", next, err)
		}
		next = msg.Sequence + 1
		l := parse(msg)
		if f.Reason != "" && l.Reason != f.Reason || l.DeadAt.Before(f.Since) {
			continue
		}
		if !yield(l) {
			return nil
		}
	}
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

// ErrNotRedrivable is returned for a letter whose original can't be sent again as it was: part of it was masked or cut.
var ErrNotRedrivable = errors.New("the original can't be sent again: part of it was masked or cut")

// Redrive publishes a dead letter's original once more and removes the letter. Whatever interrupts it, redriving again
// does nothing twice: the command keeps its idempotency key.
func Redrive(ctx context.Context, js jetstream.JetStream, sequence uint64) (Letter, error) {
	l, err := Get(ctx, js, sequence)
	if err != nil {
		return Letter{}, err
	}
	if l.Reason == string(messages.CodeCardNumberPresent) || l.BodySize > len(l.Body) {
		return l, fmt.Errorf("dead letter %d: %w", sequence, ErrNotRedrivable)
	}
	msg := &nats.Msg{Subject: l.OriginalSubject, Header: l.redriven(), Data: l.Body}
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithExpectStream(messages.StreamCommands)); err != nil {
		return l, fmt.Errorf("publish %s again: %w", l.OriginalSubject, err)
	}
	stream, err := js.Stream(ctx, messages.StreamDeadLetters)
	if err != nil {
		return l, fmt.Errorf("open stream %s: %w", messages.StreamDeadLetters, err)
	}
	if err := stream.DeleteMsg(ctx, sequence); err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return l, fmt.Errorf("remove dead letter %d, whose original was published again: %w", sequence, err)
	}
	return l, nil
}

// redriven returns the original's headers for another life: a message id of its own, since JetStream may still remember
// the first one, and with it the idempotency key and the id that the first one stood for.
func (l Letter) redriven() nats.Header {
	h := maps.Clone(l.Headers)
	first := h.Get(messages.HeaderMessageID)
	// The names in the casing that Get finds; readers take any.
	for _, name := range []string{messages.HeaderIdempotencyKey, messages.HeaderCEID} {
		if h.Get(name) == "" && first != "" {
			h.Set(name, first)
		}
	}
	for name := range h {
		if isNATSHeader(name) {
			delete(h, name)
		}
	}
	if h.Get(messages.HeaderCEID) != "" && h.Get(messages.HeaderCESpecVersion) == "" {
		h.Set(messages.HeaderCESpecVersion, "1.0")
	}
	h.Set(messages.HeaderMessageID, "redrive:"+strconv.FormatUint(l.Sequence, 10))
	h.Set(HeaderRedrivenFrom, strconv.FormatUint(l.Sequence, 10))
	return h
}
