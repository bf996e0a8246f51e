package simulator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// The bounds of sending events.
const (
	eventsWaitingMax = 4096
	eventSenders     = 8
	eventTimeout     = 10 * time.Second
	eventReplyMax    = 4 << 10
)

// webhookDelayMax is the longest Lead and Moment.
const webhookDelayMax = 10 * time.Minute

// Webhook is the receiver of the simulator's events. The zero value is none.
type Webhook struct {
	// URL takes the events, such as http://127.0.0.1:8586/webhooks/simulator; "" sends none.
	URL string
	// Secret signs them. It must be set with a URL.
	Secret string
	// TriesMax is the number of times that an event is sent until it is taken with a status of 200
	// to 299; 0 is 10.
	TriesMax int
	// Pause is that after the first try, which grows to a hundred times that; 0 is 100 ms.
	Pause time.Duration
	// Lead is the time for which sim_webhook_first holds its answer back after the event was taken;
	// 0 is 250 ms.
	Lead time.Duration
	// Moment is the time after a success until it is taken back or disputed, or a pending refund
	// comes through; 0 is 500 ms.
	Moment time.Duration
}

func (w *Webhook) complete() error {
	if w.URL == "" {
		return nil
	}
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the webhook's URL must be http:// or https:// with a host")
	case w.Secret == "":
		return errors.New("a webhook needs a secret to sign with")
	case w.TriesMax < 0 || w.Pause < 0 || w.Lead < 0 || w.Moment < 0:
		return errors.New("a bound of the webhook is negative")
	case w.Lead > webhookDelayMax || w.Moment > webhookDelayMax:
		return fmt.Errorf("a webhook's lead and moment are at most %s", webhookDelayMax)
	}
	w.TriesMax = cmp.Or(w.TriesMax, 10)
	w.Pause = cmp.Or(w.Pause, 100*time.Millisecond)
	w.Lead = cmp.Or(w.Lead, 250*time.Millisecond)
	w.Moment = cmp.Or(w.Moment, 500*time.Millisecond)
	return nil
}

// told are events that are sent one after the other: the next when the one before was taken, or
// given up.
type told struct {
	events []protocol.Event
	// done is closed when all of them are through.
	done chan struct{}
}

// messenger sends events. It keeps a bounded number of them, drops those beyond it, and keeps none
// over a restart.
type messenger struct {
	config  Webhook
	now     func() time.Time
	client  *http.Client
	waiting chan told
	end     context.CancelFunc
	senders sync.WaitGroup
}

func newMessenger(c Webhook, now func() time.Time) *messenger {
	ctx, end := context.WithCancel(context.Background())
	m := &messenger{
		config: c, now: now, waiting: make(chan told, eventsWaitingMax), end: end,
		client: &http.Client{
			Timeout:   eventTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: eventSenders, IdleConnTimeout: idleTimeout},
			// A receiver that answers with a redirect has not taken the event.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for range eventSenders {
		m.senders.Go(func() { m.run(ctx) })
	}
	return m
}

// tell hands events over to be sent. It never waits. The channel that it returns is closed when
// they are through; nil if there is no room for them, which is the receiver's loss.
func (m *messenger) tell(events []protocol.Event) <-chan struct{} {
	t := told{events: events, done: make(chan struct{})}
	select {
	case m.waiting <- t:
		return t.done
	default:
		return nil
	}
}

// close gives up the events that were not taken yet, and waits for the senders.
func (m *messenger) close() {
	m.end()
	m.senders.Wait()
	m.client.CloseIdleConnections()
}

func (m *messenger) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-m.waiting:
			for _, e := range t.events {
				// The simulator gives the event up, as a real gateway does: a lookup still tells
				// the outcome.
				_ = m.deliver(ctx, e)
			}
			close(t.done)
		}
	}
}

// deliver sends one event until it is taken.
func (m *messenger) deliver(ctx context.Context, e protocol.Event) error {
	body, err := protocol.EncodeEvent(e)
	if err != nil {
		return err
	}
	pauses := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(m.config.Pause), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(100*m.config.Pause), backoff.WithMaxElapsedTime(0),
	)
	tries := backoff.WithContext(backoff.WithMaxRetries(pauses, uint64(m.config.TriesMax-1)), ctx) //nolint:gosec // at least one
	return backoff.Retry(func() error { return m.post(ctx, body) }, tries)
}

// post sends a body once, signed anew: a receiver refuses an old signature.
func (m *messenger) post(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.config.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send event: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(protocol.HeaderSignature, protocol.Sign(body, m.now(), m.config.Secret))
	response, err := m.client.Do(request)
	if err != nil {
		return fmt.Errorf("send event: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	// Read to its end, or the connection cannot be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, eventReplyMax))
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("send event: the receiver answered %s", response.Status)
	}
	return nil
}
