package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
)

// listenForDeadLetter tells of a dead letter of the command. Who may not listen there is not told, and waits for the
// outcome alone.
func listenForDeadLetter(nc *nats.Conn, command messages.Command) (<-chan *nats.Msg, error) {
	subject, err := messages.CommandSubject(command.Tenant, command.Name(), command.PaymentID)
	if err != nil {
		return nil, err
	}
	letters := make(chan *nats.Msg, 16)
	if _, err := nc.ChanSubscribe(messages.DeadLetterSubject(subject), letters); err != nil {
		return nil, fmt.Errorf("listen for dead letters: %w", err)
	}
	return letters, nil
}

// outcome is how a command ended: with an event, or given up as a dead letter.
type outcome struct {
	published
	Event      json.RawMessage `json:"event,omitempty"`
	DeadLetter *deadLetterView `json:"dead_letter,omitempty"`
}

// deadLetterView is why a command was given up.
type deadLetterView struct {
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// await shows how the command ends. The exit code says whether that is what was asked for.
func (c *cli) await(
	ctx context.Context, client *client.Client, letters <-chan *nats.Msg, p published, timeout time.Duration,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type ending struct {
		event messages.Event
		err   error
	}
	ended := make(chan ending, 1)
	go func() {
		event, err := client.Wait(ctx, p.command)
		ended <- ending{event, err}
	}()
	for {
		select {
		case e := <-ended:
			if errors.Is(e.err, context.DeadlineExceeded) {
				return timeoutError("no outcome within %s; payment %s is still being worked on: tender get %s", timeout, p.PaymentID, p.PaymentID)
			}
			if e.err != nil {
				return e.err
			}
			return c.showEnding(p, e.event)
		case letter := <-letters:
			if letter.Header.Get(deadletter.HeaderSequence) == fmt.Sprint(p.Sequence) {
				return c.showDeadLetter(p, letter.Header)
			}
		}
	}
}

func (c *cli) showEnding(p published, event messages.Event) error {
	view, err := eventJSON(event)
	if err != nil {
		return err
	}
	if c.json {
		err = c.printJSON(outcome{published: p, Event: view})
	} else {
		text := string(event.Type())
		if detail := (narrator{p.currency()}).describe(event); detail != "" {
			text += ": " + detail
		}
		_, err = fmt.Fprintf(c.stdout, "payment %s is %s (%s)\n", p.PaymentID, event.Status, printable(text))
	}
	if err != nil || asAsked(event) {
		return err
	}
	if rejected, ok := event.Data.(*messages.CommandRejected); ok && rejected.Code == messages.RejectPaymentNotFound {
		c.hintTenant(p)
	}
	return sayNo()
}

// hintTenant helps who left --tenant out.
func (c *cli) hintTenant(p published) {
	c.remark("it was looked for under the tenant %s; --tenant names another", p.Tenant)
}

func (c *cli) showDeadLetter(p published, header nats.Header) error {
	view := deadLetterView{Reason: header.Get(deadletter.HeaderReason), Detail: header.Get(deadletter.HeaderDetail)}
	var err error
	if c.json {
		err = c.printJSON(outcome{published: p, DeadLetter: &view})
	} else {
		_, err = fmt.Fprintf(c.stdout, "the command became a dead letter (%s): %s\n", printable(view.Reason), printable(view.Detail))
	}
	if err != nil {
		return err
	}
	if view.Reason == deadletter.ReasonPaymentNotFound {
		c.hintTenant(p)
	}
	return sayNo()
}

// asAsked reports whether an event that ends a command is what the command asked for, or on the way there.
func asAsked(event messages.Event) bool {
	switch event.Data.(type) {
	case *messages.PaymentAuthorized, *messages.PaymentCaptured, *messages.PaymentActionRequired, *messages.PaymentVoided,
		*messages.RefundSucceeded, *messages.PaymentOutcomeResolved:
		return true
	default:
		return false
	}
}
