package webhook_test

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
	"github.com/seed-384b1f8a/tender/processor/webhook"
)

// told posts one signed event to a handler with a bus that takes everything, and returns the
// notification that was published, nil if none was.
func told(t *testing.T, event protocol.Event) (*messages.Notify, int) {
	t.Helper()
	decoder, err := webhook.NewProtocol([]string{secret}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	taken := &countingBus{}
	handler, err := webhook.NewHandler(taken, map[string]webhook.Decoder{"primary": decoder}, webhook.Config{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	body := encode(t, event)
	status := exchange(t, handler, body, protocol.Sign(body, time.Now(), secret))
	if taken.last == nil || taken.last.Header.Get(messages.HeaderIdempotencyKey) == "" {
		return nil, status
	}
	cmd, err := messages.DecodeCommand(taken.last.Subject, taken.last.Header, taken.last.Data)
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Body.(*messages.Notify), status
}

// TestOursACardNumberInAReasonIsMasked holds that a word which is not needed does not cost the
// event.
func TestOursACardNumberInAReasonIsMasked(t *testing.T) {
	t.Parallel()
	event := about(newID(), "1", "evt_1", protocol.EventReversed)
	event.Reason, event.DeclineCode = "card 4111 1111 1111 1111 was closed\x00", "4111111111111111"
	n, status := told(t, event)
	if status != http.StatusOK || n == nil {
		t.Fatalf("the event is answered %d", status)
	}
	if n.Reason != "card **** **** **** 1111 was closed" || n.DeclineCode != "************1111" {
		t.Errorf("the notification says %q, %q", n.Reason, n.DeclineCode)
	}
}

// TestOursAnImplausibleTimeInAWebhookIsAbsent holds that a time which cannot be is taken as not
// said.
func TestOursAnImplausibleTimeInAWebhookIsAbsent(t *testing.T) {
	t.Parallel()
	event := about(newID(), "1", "evt_1", protocol.EventSucceeded)
	event.CaptureBefore, event.OccurredAt = time.Now().Add(-time.Hour), time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)
	n, status := told(t, event)
	if status != http.StatusOK || n == nil {
		t.Fatalf("the event is answered %d", status)
	}
	if !n.CaptureBefore.IsZero() || !n.OccurredAt.IsZero() {
		t.Errorf("the notification says that the authorization lapses at %s and that it happened at %s", n.CaptureBefore, n.OccurredAt)
	}
}

// TestOursUnusableWordsDoNotPassAWebhook holds that a notification never carries a needed word that
// cannot be stored.
func TestOursUnusableWordsDoNotPassAWebhook(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*protocol.Event){
		"a card number as the reference": func(v *protocol.Event) { v.GatewayReference = "4111111111111111" },
		"a NUL in the reference":         func(v *protocol.Event) { v.GatewayReference = "\x00" },
		"a script for a URL": func(v *protocol.Event) {
			v.Type, v.NextAction = protocol.EventRequiresAction, &messages.NextAction{Type: "redirect", URL: "javascript:alert(1)"}
		},
		"an action of another type": func(v *protocol.Event) {
			v.Type, v.NextAction = protocol.EventRequiresAction, &messages.NextAction{Type: "dance"}
		},
		"a card number as the code": func(v *protocol.Event) { v.Type, v.DeclineCode = protocol.EventDeclined, "4111111111111111" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event := about(newID(), "1", "evt_1", protocol.EventSucceeded)
			change(&event)
			if n, _ := told(t, event); n != nil {
				t.Errorf("it became %+v", n)
			}
		})
	}
}

// letters reads the dead letters.
func (e *endpoint) letters() (all []deadletter.Letter) {
	e.t.Helper()
	err := deadletter.List(e.t.Context(), e.js, deadletter.Filter{}, func(l deadletter.Letter) bool {
		all = append(all, l)
		return true
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return all
}

// TestOursASignedEventThatCannotBePlacedIsKept holds that an event which was signed is never
// ignored without a word: it is a dead letter for a person, once, and cannot be sent as a command.
func TestOursASignedEventThatCannotBePlacedIsKept(t *testing.T) {
	t.Parallel()
	id := newID()
	for name, body := range map[string][]byte{
		"an empty object":   []byte(`{}`),
		"null":              []byte(`null`),
		"a list":            []byte(`[1]`),
		"no JSON":           []byte("evt"),
		"an unknown type":   encode(t, about(id, "1", "evt_2", "operation.celebrated")),
		"an unusable word":  bytes.Replace(encode(t, about(id, "1", "evt_3", protocol.EventSucceeded)), []byte(`"evt_3"`), []byte(`"evt_3","gateway_reference":"4111111111111111"`), 1),
		"a client's secret": []byte(`{"client_secret": "hunter2"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listen(t)
			for range 2 { // The gateway may send it again.
				if status := e.post(e.url, body, protocol.Sign(body, time.Now(), secret)); status != http.StatusOK {
					t.Errorf("it is answered %d", status)
				}
			}
			letters := e.letters()
			if len(letters) != 1 || e.stored() != 0 || e.seen(webhook.ResultKept) != 2 {
				t.Fatalf("%d letters, %d commands, %d times kept; want one letter", len(letters), e.stored(), e.seen(webhook.ResultKept))
			}
			l := letters[0]
			if l.Reason != deadletter.ReasonWebhookUnusable || l.Detail == "" || l.OriginalSubject != "webhooks.primary" || l.DeadAt.IsZero() {
				t.Errorf("the letter is %+v", l)
			}
			if messages.ContainsCardNumber(l.Body) || bytes.Contains(l.Body, []byte("hunter2")) {
				t.Errorf("the letter holds a card number or a secret: %s", l.Body)
			}
			if _, err := deadletter.Redrive(t.Context(), e.js, l.Sequence); !errors.Is(err, deadletter.ErrNotRedrivable) {
				t.Errorf("to send it as a command: %v", err)
			}
			warned := e.logs.FilterMessageSnippet("kept as a dead letter").Len()
			if warned != 2 {
				t.Errorf("the log tells of it %d times", warned)
			}
		})
	}
}

// TestOursAnEventThatCannotBeKeptIsSentAgain holds that the gateway keeps an event as long as the
// bus cannot.
func TestOursAnEventThatCannotBeKeptIsSentAgain(t *testing.T) {
	t.Parallel()
	e := listen(t, func(c *webhook.Config) { c.PublishTimeout = 50 * time.Millisecond })
	e.bus.Down()
	body := []byte(`{}`)
	if status := e.post(e.url, body, protocol.Sign(body, time.Now(), secret)); status != http.StatusServiceUnavailable {
		t.Errorf("it is answered %d, want 503", status)
	}
	e.bus.Restart(t)
}

// TestOursASuccessWithoutAnAmountIsPassedOn holds that package webhook does not fill in an amount
// that the gateway did not say: what it means is for package payment.
func TestOursASuccessWithoutAnAmountIsPassedOn(t *testing.T) {
	t.Parallel()
	event := about(newID(), "1", "evt_1", protocol.EventSucceeded)
	event.AmountMinor = 0
	n, status := told(t, event)
	if status != http.StatusOK || n == nil || n.Outcome != messages.OutcomeSucceeded || n.AmountMinor != 0 {
		t.Errorf("answered %d: %+v", status, n)
	}
}
