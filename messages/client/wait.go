package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// Wait returns the event that ends the command, in the sense of EndsCommand; it may have been
// published before Wait was called. Command is Ack.Command as Publish returned it. It returns when
// there is such an event or the context ends; give the context a deadline, since an outcome may
// stay unknown for a day. Events of types that this version doesn't know are skipped. An event
// that is published again, however late, is the same event: its payment and version say so.
//
// Wait needs the right to subscribe to the tenant's events. To see earlier events, or those during
// an interruption, it also needs the right to create a consumer on StreamEvents, which a production
// server gives to operators rather than to tenants: without it, Wait sees only what is published
// from now on, so use PublishAndWait.
//
// It fails with ErrStreamMissing, an error of NATS or the context, or a *DecodeError for an event
// that cannot be read.
func (c *Client) Wait(ctx context.Context, command messages.Command) (messages.Event, error) {
	w, err := c.watch(ctx, command)
	if err != nil {
		return messages.Event{}, err
	}
	defer w.stop()
	return w.wait(ctx)
}

// PublishAndWait publishes a command like Publish and waits for the event that ends it like Wait,
// listening before it publishes. The Ack is set if the command was stored, also with an error. A
// command that was published before under the same id has its outcome in the past: see Wait for who
// can see it.
func (c *Client) PublishAndWait(ctx context.Context, command messages.Command) (Ack, messages.Event, error) {
	prepared, err := c.Prepare(command)
	if err != nil {
		return Ack{Command: command}, messages.Event{}, err
	}
	w, err := c.watch(ctx, prepared)
	if err != nil {
		return Ack{Command: prepared}, messages.Event{}, err
	}
	defer w.stop()
	ack, err := c.Publish(ctx, prepared)
	if err != nil {
		return ack, messages.Event{}, err
	}
	event, err := w.wait(ctx)
	return ack, event, err
}

// watch listens for the end of one command in two ways: a plain subscription, for which every
// tenant has the right, and an ordered consumer, which knows the past and misses nothing. Whichever
// sees the answer first wins.
type watch struct {
	client  *Client
	command messages.Command
	filter  string
	answers chan answer
	live    *nats.Subscription
}

func (c *Client) watch(ctx context.Context, command messages.Command) (*watch, error) {
	filter, err := messages.PaymentEventFilter(c.tenant, command.PaymentID)
	if err != nil {
		return nil, err
	}
	w := &watch{client: c, command: command, filter: filter, answers: make(chan answer, 1)}
	conn := c.js.Conn()
	w.live, err = conn.Subscribe(filter, func(msg *nats.Msg) { w.see(msg.Subject, msg.Header, msg.Data) })
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", filter, err)
	}
	if err := c.flush(ctx); err != nil {
		w.stop()
		return nil, fmt.Errorf("listen on %s: %w", filter, err)
	}
	return w, nil
}

// flush returns when the server has everything that was sent to it. It waits while the server is
// away.
func (c *Client) flush(ctx context.Context) error {
	once := func() error {
		ctx, cancel := context.WithTimeout(ctx, c.ackWait)
		defer cancel()
		return c.js.Conn().FlushWithContext(ctx)
	}
	for {
		err := once()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrConnectionClosed) && !c.js.Conn().IsClosed():
			// nats.go answers so to a flush at the moment at which the connection is lost.
			pause := time.NewTimer(reconnectPace)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
		case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout):
			return err
		}
	}
}

// reconnectPace is how often a lost connection is looked at.
const reconnectPace = 10 * time.Millisecond

func (w *watch) wait(ctx context.Context) (messages.Event, error) {
	past, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go w.followPast(past, failed)
	var blind error
	for {
		select {
		case a := <-w.answers:
			return a.event, a.err
		case err := <-failed:
			if errors.Is(err, ErrStreamMissing) {
				return messages.Event{}, err
			}
			blind = err // Either the right is missing or the server is away; what is published from now on is still seen.
		case <-ctx.Done():
			return messages.Event{}, errors.Join(fmt.Errorf("wait for payment %s: %w", w.command.PaymentID, ctx.Err()), blind)
		}
	}
}

// followPast reads the payment's events from its first one until the context ends. While it can't,
// it says why and tries again, ever more slowly, since a missing right is not told from a server
// that is away.
func (w *watch) followPast(ctx context.Context, failed chan<- error) {
	for pause := w.client.ackWait; ; pause = min(2*pause, pastPauseMax) {
		subscription, err := w.readPast(ctx)
		if err == nil {
			<-ctx.Done()
			subscription.Stop() // While the server is away this takes as long as an attempt to reach it; the caller does not wait for it.
			return
		}
		timer := time.NewTimer(pause)
		select {
		case failed <- fmt.Errorf("read the past of payment %s: %w", w.command.PaymentID, err):
		default: // The reason before it says as much.
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (w *watch) readPast(ctx context.Context) (jetstream.ConsumeContext, error) {
	ctx, cancel := context.WithTimeout(ctx, w.client.ackWait)
	defer cancel()
	consumer, err := w.client.js.OrderedConsumer(ctx, messages.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{w.filter},
		InactiveThreshold: waiterInactiveMax,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%s: %w (%w)", messages.StreamEvents, ErrStreamMissing, err)
	}
	if err != nil {
		return nil, err
	}
	return consumer.Consume(func(msg jetstream.Msg) { w.see(msg.Subject(), msg.Headers(), msg.Data()) })
}

func (w *watch) see(subject string, header nats.Header, body []byte) {
	a, ends := readAnswer(w.command, subject, header, body)
	if !ends {
		return
	}
	select {
	case w.answers <- a:
	default: // The first one stands.
	}
}

func (w *watch) stop() {
	_ = w.live.Unsubscribe() // It fails only when the connection is closed, and then there is nothing left to end.
}

// answer ends a Wait.
type answer struct {
	event messages.Event
	err   error
}

func readAnswer(command messages.Command, subject string, header nats.Header, body []byte) (answer, bool) {
	event, err := messages.DecodeEvent(header, body)
	var unknown *messages.UnknownEventTypeError
	switch {
	case errors.As(err, &unknown):
		return answer{}, false
	case err != nil:
		return answer{err: fmt.Errorf("decode event on %s: %w", subject, err)}, true
	default:
		return answer{event: event}, event.CausationID == command.ID && messages.EndsCommand(command.Name(), event)
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
