package messages

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// EndsCommand reports whether the event is an answer to a command of this name: after it, nothing more happens by itself
// that the command asked for. An unknown outcome is no answer, a review is: a person has to look. A resume has none.
// That the event was caused by the command at hand is for the caller to see, from its causation id.
func EndsCommand(name CommandName, e Event) bool {
	if rejected, ok := e.Data.(*CommandRejected); ok {
		return rejected.Command == name
	}
	switch name {
	case CommandCreate, CommandConfirm:
		switch e.Data.(type) {
		case *PaymentAuthorized, *PaymentCaptured, *PaymentActionRequired, *PaymentDeclined, *PaymentFailed, *PaymentReviewOpened:
			return true
		}
	case CommandCapture:
		switch e.Data.(type) {
		case *PaymentCaptured, *PaymentCaptureFailed, *PaymentReviewOpened:
			return true
		}
	case CommandVoid:
		switch e.Data.(type) {
		case *PaymentVoided, *PaymentVoidFailed, *PaymentReviewOpened:
			return true
		}
	case CommandRefund:
		switch e.Data.(type) {
		case *RefundSucceeded, *RefundFailed, *PaymentReviewOpened:
			return true
		}
	case CommandResolve:
		_, ok := e.Data.(*PaymentOutcomeResolved)
		return ok
	case CommandResume:
	}
	return false
}

// Wait returns the event that ends the command, in the sense of EndsCommand; it may have been published before Wait was
// called. Command is Ack.Command as Publish returned it. It returns when there is such an event or the context ends; give
// the context a deadline, since an outcome may stay unknown for a day. Events of types that this version doesn't know are
// skipped.
//
// It fails with ErrStreamMissing, an error of NATS or the context, or a *DecodeError for an event that cannot be read.
func (c *Client) Wait(ctx context.Context, command Command) (Event, error) {
	filter, err := PaymentEventFilter(c.tenant, command.PaymentID)
	if err != nil {
		return Event{}, err
	}
	consumer, err := c.js.OrderedConsumer(ctx, StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{filter},
		InactiveThreshold: waiterInactiveMax,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("%s: %w (%w)", StreamEvents, ErrStreamMissing, err)
	}
	if err != nil {
		return Event{}, fmt.Errorf("wait for payment %s: %w", command.PaymentID, err)
	}
	answers := make(chan answer, 1)
	subscription, err := consumer.Consume(func(msg jetstream.Msg) {
		if a, ends := readAnswer(command, msg); ends {
			select {
			case answers <- a:
			default: // The first one stands.
			}
		}
	})
	if err != nil {
		return Event{}, fmt.Errorf("wait for payment %s: %w", command.PaymentID, err)
	}
	// While the server is away, Stop waits for an attempt to reach it; the caller's deadline doesn't.
	defer func() { go subscription.Stop() }()
	select {
	case a := <-answers:
		return a.event, a.err
	case <-ctx.Done():
		return Event{}, fmt.Errorf("wait for payment %s: %w", command.PaymentID, ctx.Err())
	}
}

// answer is what ends a Wait.
type answer struct {
	event Event
	err   error
}

func readAnswer(command Command, msg jetstream.Msg) (answer, bool) {
	event, err := DecodeEvent(msg.Headers(), msg.Data())
	var unknown *UnknownEventTypeError
	switch {
	case errors.As(err, &unknown):
		return answer{}, false
	case err != nil:
		return answer{err: fmt.Errorf("decode event on %s: %w", msg.Subject(), err)}, true
	default:
		return answer{event: event}, event.CausationID == command.ID && EndsCommand(command.Name(), event)
	}
}

// redactURLs hides the names, passwords and tokens in a list of server URLs.
func redactURLs(urls string) string {
	shown := strings.Split(urls, ",")
	for i, text := range shown {
		_, host, secret := strings.Cut(text, "@")
		if !secret {
			continue
		}
		scheme, _, found := strings.Cut(text, "://")
		if found {
			scheme += "://"
		} else {
			scheme = ""
		}
		shown[i] = scheme + "xxxxx@" + host[strings.LastIndexByte(host, '@')+1:]
	}
	return strings.Join(shown, ",")
}
