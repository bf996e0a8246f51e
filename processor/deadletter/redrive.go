package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// ErrNotRedrivable is returned for a letter whose original can't be sent again as it was: part of
// it was masked or cut, or it was gone from its stream before the letter was made.
var ErrNotRedrivable = errors.New("the original can't be sent again")

// Redrivable returns nil, or an error that wraps ErrNotRedrivable and says why not.
func (l Letter) Redrivable() error {
	switch {
	case l.OriginalSubject == "":
		return fmt.Errorf("dead letter %d: %w: it was gone from its stream", l.Sequence, ErrNotRedrivable)
	case l.Reason == ReasonWebhookUnusable:
		return fmt.Errorf("dead letter %d: %w: it is an event of a gateway, not a command", l.Sequence, ErrNotRedrivable)
	case l.Masked || l.Reason == string(messages.CodeCardNumberPresent) || l.BodySize > len(l.Body):
		return fmt.Errorf("dead letter %d: %w: part of it was masked or cut", l.Sequence, ErrNotRedrivable)
	default:
		return nil
	}
}

// Redrive publishes a dead letter's original once more and then removes the letter. It fails with
// ErrNotFound or ErrNotRedrivable. After an interruption, and while another process redrives the
// same letter, redriving again has no second effect: the command keeps its idempotency key, and
// while JetStream remembers the first time there isn't even a second command.
func Redrive(ctx context.Context, js jetstream.JetStream, sequence uint64) (Letter, error) {
	l, err := Get(ctx, js, sequence)
	if err != nil {
		return Letter{}, err
	}
	if err := l.Redrivable(); err != nil {
		return l, err
	}
	msg := &nats.Msg{Subject: l.OriginalSubject, Header: l.redriven(), Data: l.Body}
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithExpectStream(messages.StreamCommands)); err != nil {
		return l, fmt.Errorf("publish %s again: %w", l.OriginalSubject, err)
	}
	if err := remove(ctx, js, sequence); err != nil {
		return l, fmt.Errorf("remove dead letter %d, whose original was published again: %w", sequence, err)
	}
	return l, nil
}

// redriven returns the original's headers for another life: a message id of its own, since
// JetStream may still remember the first one, and with it the idempotency key and the id that the
// first one stood for. The new message id is the letter's own: its time is part of it, since a
// stream that was made anew numbers from 1 again.
func (l Letter) redriven() nats.Header {
	h := maps.Clone(l.Headers)
	first := valueOf(h, messages.HeaderMessageID)
	for _, name := range []string{messages.HeaderIdempotencyKey, messages.HeaderCEID} {
		if valueOf(h, name) == "" && first != "" {
			h.Set(name, first)
		}
	}
	for name := range h {
		if isNATSHeader(name) {
			delete(h, name)
		}
	}
	if valueOf(h, messages.HeaderCEID) != "" && valueOf(h, messages.HeaderCESpecVersion) == "" {
		h.Set(messages.HeaderCESpecVersion, "1.0")
	}
	sequence := strconv.FormatUint(l.Sequence, 10)
	h.Set(messages.HeaderMessageID, "redrive:"+sequence+":"+strconv.FormatInt(l.DeadAt.UnixNano(), 10))
	h.Set(HeaderRedrivenFrom, sequence)
	return h
}

// valueOf finds a header by its name in any case, as those do who read commands.
func valueOf(h nats.Header, name string) string {
	for key := range h {
		if strings.EqualFold(key, name) {
			return h.Get(key)
		}
	}
	return ""
}
