package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
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
